"""The findings of a project about its sweep as text: a table on a terminal, or in the page."""

from __future__ import annotations

import re
from dataclasses import dataclass
from html import escape
from math import nan
from typing import Literal

import pyarrow as pa
from rich import box
from rich.cells import cell_len
from rich.console import Group
from rich.table import Table
from rich.text import Text

from raybayes.reporting.text import shorten, value_text
from raybayes.wording import with_error

_GAP = 2  # blanks between two columns
_WIDEST = 40  # a longer text wraps
_ERROR = ".se"  # the suffix of the column with the standard error of another


@dataclass(frozen=True)
class Column:
    """One column as text; numbers are aligned right."""

    header: str
    cells: list[str]
    numeric: bool

    @property
    def width(self) -> int:
        """Terminal cells that it needs."""
        return min(self.whole, _WIDEST)

    @property
    def whole(self) -> int:
        """Terminal cells with which no text wraps."""
        return max(cell_len(text) for text in [self.header, *self.cells])


def findings_columns(table: pa.Table) -> list[Column]:
    """The columns of a table of findings, each mean with its standard error."""
    names = table.column_names
    errors = {name: table[name].to_pylist() for name in names if name.endswith(_ERROR)}
    found = []
    for name in names:
        if name in errors and name.removesuffix(_ERROR) in names:
            continue
        numeric = pa.types.is_integer(table[name].type) or pa.types.is_floating(table[name].type)
        values, spread = table[name].to_pylist(), errors.get(f"{name}{_ERROR}")
        if spread is None:
            cells = [value_text(value) for value in values]
        else:
            cells = [with_error(_number(value), _number(error)) for value, error in zip(values, spread, strict=True)]
        found.append(Column(name, cells, numeric))
    return found


def _number(value: float | None) -> float:
    return nan if value is None else float(value)


def findings_table(table: pa.Table, width: int = 100, rows: int = 40) -> Group:
    """A table for a terminal of `width` columns; lines below say what does not fit.

    Args:
        rows: number of rows to show.
    """
    shown: list[Column] = []
    dropped: list[str] = []
    left = width
    for column in findings_columns(table.slice(0, rows)):
        if column.width + _GAP <= left or not shown:
            shown.append(column)
            left -= column.width + _GAP
        else:
            dropped.append(column.header)
    made = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, _GAP - 1, 0, 0))
    for column in shown:
        given = min(column.whole, column.width + max(0, left))  # the rest goes to the first that needs it
        left -= given - column.width
        justify: Literal["left", "right"] = "right" if column.numeric else "left"
        made.add_column(Text(column.header), justify=justify, width=given, no_wrap=given == column.whole)
    for row in range(min(rows, len(table))):
        made.add_row(*(Text(column.cells[row]) for column in shown))
    lines = [f"{len(table) - rows} more rows are not shown."] if len(table) > rows else []
    lines += [f"Columns that did not fit: {', '.join(dropped)}."] if dropped else []
    return Group(made, *(Text(shorten(line, width)) for line in lines))


def render_findings(table: pa.Table) -> str:
    """The whole table as HTML."""
    found = findings_columns(table)
    head = "".join(f"<th>{escape(column.header)}</th>" for column in found)
    lines = "\n".join(
        "<tr>" + "".join(f"<td>{escape(column.cells[row])}</td>" for column in found) + "</tr>"
        for row in range(len(table))
    )
    body = f"<thead><tr>{head}</tr></thead>\n<tbody>\n{lines}\n</tbody>"
    return f'<div class="wide tall"><table class="trials">\n{body}\n</table></div>'


def file_name(caption: str) -> str:
    """A figure's caption as the name of its file: small letters, digits and hyphens."""
    return re.sub(r"[^a-z0-9]+", "-", caption.lower()).strip("-")[:60].strip("-")
