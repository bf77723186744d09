"""trials.parquet: one row a trial, written anew whenever a burst has news."""

from __future__ import annotations

import pyarrow as pa

from raybayes.store import parquet
from raybayes.store.layout import Layout


def write_trials(layout: Layout, table: pa.Table) -> None:
    """Replace the table of trials. Raises StoreError if the storage refuses."""
    parquet.write_table(layout.storage, layout.trials, table)


def read_trials(layout: Layout) -> pa.Table | None:
    """The table of trials, or None before it was first written. Raises StoreError if the file is broken."""
    if not layout.storage.exists(layout.trials):
        return None
    return parquet.read_table(layout.storage, layout.trials)
