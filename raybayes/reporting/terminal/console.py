"""The terminal that tables and progress are written to."""

from __future__ import annotations

import sys

from rich.console import Console

WIDTH = 100


def console() -> Console:
    """The terminal, never wider than 100 columns; a log file gets exactly 100."""
    made = Console(file=sys.stdout, highlight=False, soft_wrap=False)
    made.width = min(made.width, WIDTH) if made.is_terminal else WIDTH
    return made
