"""A trained flow as a table, and back: what a sweep stores so that it can be sampled later."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor, nn

from raybayes.contract import Finished
from raybayes.errors import DataError
from trainables.flows.config import Config
from trainables.flows.data.columns import Feature
from trainables.flows.data.examples import FlowData
from trainables.flows.data.projection import Projection
from trainables.flows.models.build import build_flow
from trainables.flows.models.flow import SemiConditionalFlow

_META = b"raybayes.flow"


@dataclass(frozen=True)
class Trained:
    """A trained flow, with what turns its numbers into examples.

    Args:
        flow: in evaluation mode, on the CPU.
        config: of its run.
        projection: from raw features to what the flow sees, if it does not see the raw ones.
        names: of the classes.
        shape: of an example as the flow sees it.
        features: columns of the user's table, in the order of the raw values; empty for pictures and points.
    """

    flow: SemiConditionalFlow
    config: Config
    projection: Projection | None
    names: tuple[str, ...]
    shape: tuple[int, ...]
    features: tuple[Feature, ...]


def weights_table(flow: SemiConditionalFlow, data: FlowData, config: Config) -> pa.Table:
    """One row per tensor: name, dtype, shape, its bytes. The schema's metadata hold the configuration as JSON."""
    projection = data.projection
    tensors = {f"flow.{name}": value for name, value in flow.state_dict().items()}
    if projection is not None:
        tensors |= {f"projection.{name}": value for name, value in projection.state_dict().items()}
    arrays = {name: value.detach().cpu().contiguous().numpy() for name, value in tensors.items()}
    record = {
        "config": config.model_dump(mode="json"),
        "shape": data.shape,
        "classes": flow.classes,
        "names": data.names,
        "features": [feature.record() for feature in data.features],
        "raw_shape": None if projection is None else projection.shape,
    }
    table = pa.table(
        {
            "name": list(arrays),
            "dtype": [array.dtype.name for array in arrays.values()],
            "shape": pa.array([list(array.shape) for array in arrays.values()], pa.list_(pa.int64())),
            "data": pa.array([array.tobytes() for array in arrays.values()], pa.large_binary()),
        }
    )
    return table.replace_schema_metadata({_META: json.dumps(record)})


def trained_from(table: pa.Table) -> Trained:
    """The flow of a table that `weights_table` made.

    Raises:
        DataError: it is another table, or its tensors do not fit its configuration.
    """
    metadata = table.schema.metadata or {}
    if _META not in metadata:
        raise DataError("not a table of a flow's weights: its schema metadata lack 'raybayes.flow'.")
    record = json.loads(metadata[_META])
    config = Config(**record["config"])
    tensors: dict[str, Tensor] = {}
    for row in table.select(["name", "dtype", "shape", "data"]).to_pylist():
        array = np.frombuffer(row["data"], row["dtype"]).reshape(row["shape"])
        tensors[row["name"]] = torch.from_numpy(array.copy())
    flow = build_flow(config, tuple(record["shape"]), record["classes"], torch.Generator().manual_seed(0))
    load(flow, {name.removeprefix("flow."): value for name, value in tensors.items() if name.startswith("flow.")})
    projection = None
    if record["raw_shape"] is not None:
        mean, matrix, back = (tensors[f"projection.{name}"] for name in ("mean", "matrix", "back"))
        projection = Projection(mean, matrix, back, tuple(record["raw_shape"]))
    names = tuple(record.get("names") or map(str, range(flow.classes)))  # runs of 0.1 have neither
    features = tuple(Feature.of_record(one) for one in record.get("features", ()))
    return Trained(flow.eval(), config, projection, names, tuple(record["shape"]), features)


def load(module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Load tensors into a module of the same architecture; initialised ActNorms stay initialised.

    Raises:
        DataError: the architectures differ; lists how.
    """
    mine = {name: tuple(value.shape) for name, value in module.state_dict().items()}
    theirs = {name: tuple(value.shape) for name, value in tensors.items()}
    lines = [f"{name} is missing" for name in mine if name not in theirs]
    lines += [f"{name} {theirs[name]} is unknown" for name in theirs if name not in mine]
    lines += [
        f"{name} has shape {theirs[name]}, expected {mine[name]}"
        for name in mine
        if name in theirs and mine[name] != theirs[name]
    ]
    if lines:
        shown = "; ".join(lines[:8]) + (f"; and {len(lines) - 8} more" if len(lines) > 8 else "")
        raise DataError(
            f"the weights belong to another architecture: {shown}. Build the flow with their configuration."
        )
    module.load_state_dict(dict(tensors))


def load_trained(finished: Finished, trial: int | None = None, repeat: int = 0) -> Trained:
    """The trained flow of a run or of a sweep's trial: `load_trained(raybayes.open_sweep(path), 12)`.

    Args:
        trial: its number; None: the trial with the lowest validation error among those that stored their weights.

    Raises:
        DataError: no trial, or not this one, stored its weights.
    """
    if "weights" not in finished.tables:
        raise DataError("no trial stored its weights; train with keep_weights = true until a trial finishes.")
    number = best_with_weights(finished) if trial is None else trial
    table = finished.table("weights", number, repeat)
    if not len(table):
        raise DataError(f"trial {number}, repeat {repeat}, stored no weights; name a finished trial.")
    return trained_from(table)


def best_with_weights(finished: Finished) -> int:
    """The trial with the lowest validation error among those that stored their weights."""
    kept = [row for row in finished.table("run").to_pylist() if row["weights"]]
    return int(min(kept, key=lambda row: (row["error"], row["trial"]))["trial"])
