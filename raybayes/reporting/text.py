"""Values, times and messages as text, the same in tables, figures and pages."""

from __future__ import annotations

import math
from typing import Any

from rich.cells import cell_len, set_cell_size

from raybayes.wording import NONE, number

WORDS = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running", "PAUSED": "paused"}


def value_text(value: Any) -> str:
    """A parameter's value in a table."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or isinstance(value, int | float):
        return number(value)
    return str(value)


def duration(seconds: float | None) -> str:
    """Seconds as "0.3 s", "42 s", "3 m 07 s", "2 h 05 m" or "3 d 04 h"; "–" for none."""
    if seconds is None or not math.isfinite(seconds):
        return NONE
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    minutes = round(seconds / 60)
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} m"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24:02d} h"


def first_line(text: str | None) -> str:
    """The cause of a failure: the first line of an error, the last line of a traceback; "" for none."""
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    if not lines:
        return ""
    return lines[-1] if lines[0].startswith("Traceback") else lines[0]


def shorten(text: str, width: int) -> str:
    """A text of at most `width` terminal cells, with "…" where it is cut."""
    return text if cell_len(text) <= width else set_cell_size(text, width - 1).rstrip() + "…"
