"""Results in the columns of the reference code's csv logs (github.com/bayesgroup/pytorch-ensembles), both ways.

Its notebooks read `dataset, model, method, n_samples, metric, value, info`, with " (ts)" behind the method for
temperature scaling and "_augment" for test-time augmentation. Reading and writing csv files is `pyarrow.csv`'s.
"""

from __future__ import annotations

import pyarrow as pa

from raybayes.errors import DataError

COLUMNS = ("dataset", "model", "method", "n_samples", "metric", "value", "info")
_SCALED, _AUGMENTED = " (ts)", "_augment"


def to_reference(curve: pa.Table) -> pa.Table:
    """A run's `curve` table (split "test") in the reference's columns; `info` holds the cost in epochs."""
    rows = []
    for row in curve.to_pylist():
        if row["split"] == "test":
            method = row["method"] + (_AUGMENTED if row["augment"] else "") + (_SCALED if row["calibrated"] else "")
            kept = {name: row[name] for name in ("dataset", "model", "n_samples", "metric", "value")}
            rows.append(kept | {"method": method, "info": f"cost_epochs={row['cost_epochs']}"})
    return pa.Table.from_pylist(rows).select(COLUMNS) if rows else pa.table({name: [] for name in COLUMNS})


def from_reference(table: pa.Table) -> pa.Table:
    """The reference's log with the method's suffixes as real columns `augment` and `calibrated`.

    Raises:
        DataError: a column is missing.
    """
    if missing := [name for name in COLUMNS if name not in table.column_names]:
        found = ", ".join(table.column_names)
        raise DataError(f"this is no log of the reference code: {', '.join(missing)} is missing, found {found}.")
    rows = []
    for row in table.select(COLUMNS).to_pylist():
        method = row["method"]
        calibrated, method = method.endswith(_SCALED), method.removesuffix(_SCALED)
        augment, method = method.endswith(_AUGMENTED), method.removesuffix(_AUGMENTED)
        rows.append(row | {"method": method, "augment": augment, "calibrated": calibrated})
    return pa.Table.from_pylist(rows)
