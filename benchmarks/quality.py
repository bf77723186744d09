"""What a benchmark of search methods has found: means with standard errors over seeds, as Parquet and Markdown."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measurement import Machine

Key = tuple[str, str, str]  # claim, side, column
SCHEMA = pa.schema(
    [("claim", pa.string()), ("side", pa.string()), ("column", pa.string()), ("n", pa.int64()),
     ("mean", pa.float64()), ("se", pa.float64()), ("versions", pa.string()), ("date", pa.string())]
)  # fmt: skip


@dataclass(frozen=True)
class Found:
    """One number of one seed: `column` of `side` under `claim`."""

    claim: str
    side: str
    column: str
    value: float


@dataclass(frozen=True)
class Cell:
    """Mean over n seeds with its standard error."""

    n: int
    mean: float
    se: float

    def __str__(self) -> str:
        if not self.se > 0:
            return f"{self.mean:.4g}"
        decimals = max(0, 1 - math.floor(math.log10(self.se)))
        return f"{self.mean:.{decimals}f} ± {self.se:.{decimals}f}"


def cells(found: Iterable[Found]) -> dict[Key, Cell]:
    """All values of a key together, keys in the order of their first value."""
    groups: dict[Key, list[float]] = {}
    for one in found:
        groups.setdefault((one.claim, one.side, one.column), []).append(one.value)
    return {key: _cell(values) for key, values in groups.items()}


def _cell(values: Sequence[float]) -> Cell:
    error = statistics.stdev(values) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return Cell(len(values), statistics.fmean(values), error)


def write(folder: Path, name: str, title: str, notes: str, found: Iterable[Found], machine: Machine) -> str:
    """Write `<name>.parquet` and `<name>.md` into the folder; returns the page: a table a claim, a row a side."""
    table = cells(found)
    rows = [
        {**dict(zip(("claim", "side", "column"), key, strict=True)), **vars(cell), "versions": machine.versions,
         "date": machine.date}
        for key, cell in table.items()
    ]  # fmt: skip
    lines = [f"# {title}", "", notes.strip(), "", f"Computed {machine.date}. Versions: {machine.versions}."]
    for claim in dict.fromkeys(key[0] for key in table):
        columns = list(dict.fromkeys(key[2] for key in table if key[0] == claim))
        lines += ["", f"## {claim}", "", _line(["", "n", *columns]), _line(["---", *["---:"] * (len(columns) + 1)])]
        for side in dict.fromkeys(key[1] for key in table if key[0] == claim):
            mine = [table.get((claim, side, column)) for column in columns]
            n = max(cell.n for cell in mine if cell)
            lines.append(_line([side, str(n), *("" if cell is None else str(cell) for cell in mine)]))
    page = "\n".join(lines) + "\n"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), folder / f"{name}.parquet")
    (folder / f"{name}.md").write_text(page, encoding="utf-8")
    return page


def _line(values: Sequence[str]) -> str:
    return f"| {' | '.join(values)} |"
