"""How results reach the terminal: tables of at most 100 columns, or JSON."""

from __future__ import annotations

import json
import math
from typing import Any

from rich.table import Table

from raybayes.reporting.terminal.console import console

__all__ = ["console", "plain", "plain_table", "print_json"]


def print_json(value: Any) -> None:
    """Print one JSON document; NaN and infinities become null."""
    print(json.dumps(plain(value), indent=2, default=str))


def plain(value: Any) -> Any:
    """The value in the types of JSON."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    return value


def plain_table(*columns: str) -> Table:
    """A table with thin lines only under its heading."""
    table = Table(box=None, pad_edge=False, header_style="bold", expand=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
