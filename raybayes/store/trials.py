"""trials.parquet: one row per trial, rewritten whenever a trial of the burst ends."""

from __future__ import annotations

import pyarrow as pa

from raybayes.store import parquet
from raybayes.store.layout import Layout


def write_trials(layout: Layout, table: pa.Table) -> None:
    """Replace the table of trials. Raises StoreError if the storage cannot be written."""
    parquet.write_table(layout.storage, layout.trials, table)


def read_trials(layout: Layout) -> pa.Table | None:
    """The table of trials; None before it is first written. Raises StoreError if the file is damaged."""
    if not layout.storage.exists(layout.trials):
        return None
    return parquet.read_table(layout.storage, layout.trials)
