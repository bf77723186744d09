"""The tables that a run stores: log-probabilities of every member, and the scores of every ensemble size.

All metrics can be recomputed from the members' tables, without training.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from torch import Tensor

from trainables.ensembles.config import Config
from trainables.ensembles.data.images import ImageData, Split
from trainables.ensembles.training.ensemble import Point

CURVE_SCHEMA = pa.schema(
    [
        ("dataset", pa.string()),
        ("model", pa.string()),
        ("method", pa.string()),
        ("n_samples", pa.int32()),  # K
        ("metric", pa.string()),
        ("value", pa.float64()),
        ("split", pa.string()),
        ("calibrated", pa.bool_()),  # with the temperature of the other half
        ("temperature", pa.float64()),
        ("temperature_std", pa.float64()),
        ("cost_epochs", pa.int32()),
        ("augment", pa.bool_()),  # test-time augmentation
        ("seed", pa.int64()),
        ("split_seed", pa.int64()),
    ]
)


def member_table(
    lp: Tensor,
    split: Split,
    name: str,
    member: int,
    config: Config,
    data: ImageData,
    seed: int,
    cost_epochs: int,
    seconds: float,
) -> pa.Table:
    """One member's predictions on one split.

    Args:
        lp: (n, classes) float32 log-probabilities.
        split: the predicted images.
        name: of the split: "val", "test" or "foreign".
        member: number of the member, from 0.
        seed: of the trial.
        cost_epochs: training epochs of this member's run when it was completed.
        seconds: wall time of the run up to then, in this process.

    Returns:
        Columns member (int32), split (string), index (int64: row of the source table), target (int32),
        lp (fixed_size_list<float32>[classes]); the schema's metadata contain `raybayes.member`, a JSON object.
    """
    n, classes = lp.shape
    values = pa.array(np.ascontiguousarray(lp.numpy()).reshape(-1), pa.float32())
    columns = {
        "member": pa.array(np.full(n, member, np.int32)),
        "split": pa.array([name] * n, pa.string()),
        "index": pa.array(split.index.cpu().numpy()),
        "target": pa.array(split.labels.cpu().numpy().astype(np.int32)),
        "lp": pa.FixedSizeListArray.from_arrays(values, classes),
    }
    record = _record(split, name, member, config, data, seed) | {"cost_epochs": cost_epochs, "seconds": seconds}
    return pa.table(columns).replace_schema_metadata({"raybayes.member": json.dumps(record)})


def _record(split: Split, name: str, member: int, config: Config, data: ImageData, seed: int) -> dict[str, Any]:
    """What a member's table says of its origin."""
    return {
        "targets_sha256": split.digest(),
        "member": member,
        "split": name,
        "seed": seed,
        "mean": data.pixels.mean,
        "std": data.pixels.std,
        "augmentation": data.augmentation if config.augment else "none",
        "tta": config.tta,
        "config": config.model_dump(mode="json"),
    }


def curve_table(points: Sequence[Point], config: Config, seed: int) -> pa.Table:
    """The long table of all scores of all ensemble sizes, with CURVE_SCHEMA; one row per score."""
    rows = []
    for point in points:
        shared = {
            "dataset": config.dataset,
            "model": config.arch,
            "method": config.method,
            "n_samples": point.size,
            "split": point.split,
            "cost_epochs": point.cost_epochs,
            "augment": config.tta,
            "seed": seed,
            "split_seed": config.split_seed,
        }
        raw = shared | {"calibrated": False, "temperature": 1.0, "temperature_std": 0.0}
        scaled = shared | {
            "calibrated": True,
            "temperature": point.temperature,
            "temperature_std": point.temperature_std,
        }
        for metric, (value, calibrated_value) in point.scores.items():
            rows += [raw | {"metric": metric, "value": value}, scaled | {"metric": metric, "value": calibrated_value}]
        rows += [raw | {"metric": metric, "value": value} for metric, value in point.diversity.items()]
    return pa.Table.from_pylist(rows, CURVE_SCHEMA)
