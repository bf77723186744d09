"""trials.parquet: one row per trial, rewritten whenever a trial of the burst ends."""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa

from raybayes.store import parquet
from raybayes.store.layout import Layout


def write_trials(layout: Layout, table: pa.Table) -> None:
    """Replace the table of trials. Raises StoreError if the storage cannot be written."""
    parquet.write_table(layout.storage, layout.trials, table)


def mark_unfinished(layout: Layout, numbers: Collection[int]) -> None:
    """Let the table of trials say that these trials, which failed, have not ended; before the study says so.

    Otherwise a crash between the two would look as if the study had lost their ends.
    """
    table = read_trials(layout)
    if table is None:
        return
    rows = zip(table["trial"].to_pylist(), table["state"].to_pylist(), strict=True)
    states = ["PAUSED" if trial in numbers and state == "FAIL" else state for trial, state in rows]
    place = table.column_names.index("state")
    write_trials(layout, table.set_column(place, "state", pa.array(states, pa.string())))


def read_trials(layout: Layout) -> pa.Table | None:
    """The table of trials; None before it is first written. Raises StoreError if the file is damaged."""
    if not layout.storage.exists(layout.trials):
        return None
    return parquet.read_table(layout.storage, layout.trials)
