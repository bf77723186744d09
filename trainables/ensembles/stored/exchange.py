"""Results in the columns of the reference code's csv logs (github.com/bayesgroup/pytorch-ensembles), both ways, and
scores of its cached predictions.

Its notebooks read `dataset, model, method, n_samples, metric, value, info`, with " (ts)" after the method for
temperature scaling and "_augment" for test-time augmentation. Read and write the csv files with `pyarrow.csv`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from raybayes.errors import DataError
from trainables.ensembles.metrics.protocol import ALL_SCORES, Score, cross_validated
from trainables.ensembles.metrics.scores import require_probabilities

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
        raise DataError(
            f"not a log of the reference code: {', '.join(missing)} is missing, found {found}; give its csv file."
        )
    rows = []
    for row in table.select(COLUMNS).to_pylist():
        method = row["method"]
        calibrated, method = method.endswith(_SCALED), method.removesuffix(_SCALED)
        augment, method = method.endswith(_AUGMENTED), method.removesuffix(_AUGMENTED)
        rows.append(row | {"method": method, "augment": augment, "calibrated": calibrated})
    return pa.Table.from_pylist(rows)


_CACHED = re.compile(r"logits_([^-]+)-([^-]+)-(.+)-(\d+)-([^-]+)\.npy")


def cached_scores(folder: str | Path, scores: Mapping[str, Score] = ALL_SCORES, split_seed: int = 0) -> pa.Table:
    """Scores of the averaged predictions that the reference stores: `logits_<dataset>-<model>-<method>-<K>-<run>.npy`.

    They contain log-probabilities of whole ensembles, not of members, so they give neither other sizes nor diversity.
    Unlike the reference this checks `<dataset>-targets.npy` against every file.

    Args:
        folder: contains such files and the targets of each of their data sets.
        scores: name -> score.
        split_seed: of test-time cross-validation.

    Returns:
        Columns dataset, model, method, run, n_samples, metric, value, calibrated, augment, temperature.

    Raises:
        DataError: no such file; no targets; shapes that do not match; values that are not log-probabilities.
    """
    place = Path(folder)
    found = [(match, path) for path in sorted(place.glob("*.npy")) if (match := _CACHED.fullmatch(path.name))]
    if not found:
        raise DataError(f"{place} has no file named logits_<dataset>-<model>-<method>-<K>-<run>.npy; name its folder.")
    rows = []
    for match, path in found:
        dataset, model, method, size, run = match.groups()
        lp, targets = _array(path), _array(place / f"{dataset}-targets.npy")
        require_probabilities(lp, str(path))
        result = cross_validated(lp, targets, scores, seed=split_seed)
        shared = {"dataset": dataset, "model": model, "method": method.removesuffix(_AUGMENTED), "run": run,
                  "n_samples": int(size), "augment": method.endswith(_AUGMENTED)}  # fmt: skip
        for calibrated, values in ((False, result.raw), (True, result.calibrated)):
            temperature = result.temperature if calibrated else 1.0
            more = {"calibrated": calibrated, "temperature": temperature}
            rows += [shared | more | {"metric": name, "value": value} for name, value in values.items()]
    return pa.Table.from_pylist(rows)


def _array(path: Path) -> NDArray[Any]:
    try:
        found: NDArray[Any] = np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise DataError(f"{path} cannot be read as an array of numbers ({error}); copy it again.") from error
    return found
