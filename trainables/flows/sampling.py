"""Samples of a flow as tables and as pictures.

from trainables.flows import load_trained
trained = load_trained(raybayes.open_sweep("runs/mine"))
x = trained.flow.sample(torch.full((16,), 7), torch.Generator().manual_seed(0))
digits = as_pictures(x, pictures=False, projection=trained.projection)  # a run with pca
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from trainables.flows.data.projection import Projection
from trainables.flows.layers import quantise
from trainables.flows.models.flow import SemiConditionalFlow


def class_samples(
    flow: SemiConditionalFlow, per_class: int, generator: torch.Generator, temperature: float = 1.0
) -> tuple[Tensor, Tensor]:
    """`per_class` samples per class, one class after the other: (n, ...) and labels (n,)."""
    labels = torch.arange(flow.classes).repeat_interleave(per_class).to(flow.log_prior.device)
    return flow.sample(labels, generator, temperature), labels


def as_pictures(x: Tensor, pictures: bool, projection: Projection | None) -> Tensor | None:
    """uint8 pictures (n, channels, height, width) of what the flow sees, or None if examples are not pictures.

    Args:
        x: pictures in [0, 1) if `pictures`, else vectors.
        projection: from brightness values to the vectors.
    """
    if pictures:
        return quantise(x)
    if projection is None or len(projection.shape) != 3:
        return None
    return projection.inverse(x).round().clamp(0, 255).to(torch.uint8)


def samples_table(
    x: Tensor, labels: Tensor, pictures: bool, projection: Projection | None, names: Sequence[str]
) -> pa.Table:
    """One row per sample: label and its name, number within its class, values that the flow sees, picture and its size
    or null."""
    shown = as_pictures(x, pictures, projection)
    n = len(labels)
    values = x.detach().cpu().flatten(1).numpy().astype(np.float32)
    labels = labels.cpu()
    number = torch.cat([torch.arange(int(count)) for count in labels.unique_consecutive(return_counts=True)[1]])
    raw = [None] * n if shown is None else [picture.numpy().tobytes() for picture in shown.cpu()]
    size = [None] * n if shown is None else [list(shown.shape[1:])] * n
    return pa.table(
        {
            "label": labels.tolist(),
            "label_name": [names[label] for label in labels.tolist()],
            "number": number.tolist(),
            "values": pa.FixedSizeListArray.from_arrays(pa.array(values.reshape(-1)), values.shape[1]),
            "image": pa.array(raw, pa.binary()),
            "size": pa.array(size, pa.list_(pa.int64())),
        }
    )


def pictures_from(table: pa.Table) -> Tensor | None:
    """The pictures of a table of samples, (n, channels, height, width) uint8, or None."""
    if table["image"].null_count:
        return None
    size = table["size"][0].as_py()
    raw = b"".join(table["image"].to_pylist())
    return torch.from_numpy(np.frombuffer(raw, np.uint8).copy()).view(-1, *size)
