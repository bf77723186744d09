"""What is done with a trained flow: classes and densities of a user's file, and new rows or pictures.

raybayes predict new.parquet --run runs/mine --parquet scored.parquet
raybayes sample --run runs/mine --per-class 100 --parquet drawn.parquet
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from pydantic import BaseModel, ConfigDict, Field
from torch import Tensor

from raybayes.contract import Findings, Finished
from raybayes.data.files.tables import read_parquet
from raybayes.errors import DataError, SpecError, StoreError
from trainables.flows.analysis.findings import SampleSettings, resampled
from trainables.flows.calibration import calibration_error, reliability
from trainables.flows.data.columns import choose_features, matrix
from trainables.flows.data.examples import shrink
from trainables.flows.data.files import PICTURES, read_pictures
from trainables.flows.data.naming import class_numbers
from trainables.flows.evaluation import fixed_noise
from trainables.flows.weights import Trained, best_with_weights, load_trained

_CHUNK = 500
_SHOWN = 10


class PredictSettings(BaseModel):
    """Which flow predicts, and where the rows go."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trial: int | None = Field(None, ge=0, description="Trial whose flow is used; null: lowest validation error")
    repeat: int = Field(0, ge=0, description="Repeat of that trial")
    draws: int = Field(1, ge=1, le=64, description="Noise draws per picture, averaged")
    parquet: str | None = Field(None, description="File that every row's prediction is written to")


class DrawSettings(SampleSettings):
    """Which flow is sampled and how, and where the samples go."""

    parquet: str | None = Field(None, description="File that the samples are written to, in columns of the user's file")


def predict(finished: Finished, inputs: Sequence[str], settings: PredictSettings) -> Findings:
    """p(y|x), class, log p(x) and the outlier rank of every row of a file.

    Raises:
        SpecError: not exactly one file.
        DataError: no flow was stored, or the file's columns or pictures are not those of the run.
    """
    if len(inputs) != 1:
        raise SpecError(f"predict takes one Parquet file, found {len(inputs)}: raybayes predict FILE --run PATH.")
    path = Path(inputs[0]).expanduser()
    if not path.is_file():
        raise DataError(f"there is no file {path}; give the path of a Parquet file that exists.")
    trial = _trial(finished, settings.trial)
    trained = load_trained(finished, trial, settings.repeat)
    table = read_parquet(path)
    posterior, density = scores(trained, seen(trained, table, str(path)), settings.draws)
    known = finished.table("predictions", trial, settings.repeat)["log_density"].to_numpy()
    rows = predictions(trained, posterior, density, np.sort(known))
    if settings.parquet:
        _write(rows, settings.parquet)
    return Findings(_shown(trained, table, rows, str(path)), {}, rows)


def _trial(finished: Finished, given: int | None) -> int:
    if "run" not in finished.tables:
        raise DataError("no trial has finished; let one finish, then try again.")
    return best_with_weights(finished) if given is None else given


def seen(trained: Trained, table: pa.Table, where: str) -> Tensor:
    """A file's rows as the flow takes them; DataError if they are not of the run's kind."""
    raw_shape = trained.shape if trained.projection is None else trained.projection.shape
    if len(raw_shape) == 3:
        if not any(name in table.column_names for name in PICTURES):
            raise DataError(f"{where}: the run was trained on pictures; found columns {', '.join(table.column_names)},"
                            f" wanted {' or '.join(PICTURES)}.")  # fmt: skip
        raw = read_pictures(table, where)
        x = shrink(raw, trained.config) if trained.projection is None else raw
        if tuple(x.shape[1:]) != tuple(raw_shape):
            raise DataError(f"{where}: the pictures have shape {tuple(raw.shape[1:])}, which gives"
                            f" {tuple(x.shape[1:])}; those of the run give {tuple(raw_shape)}.")  # fmt: skip
    else:
        features = trained.features or choose_features(table, (), (), where)[0]
        x = matrix(table, features, where)
        if x.shape[1] != raw_shape[0]:
            raise DataError(f"{where}: found {x.shape[1]} values per row, the run was trained on {raw_shape[0]}.")
    return x if trained.projection is None else trained.projection(x)


@torch.no_grad()
def scores(trained: Trained, x: Tensor, draws: int = 1) -> tuple[Tensor, Tensor]:
    """p(y|x), (n, classes), and log p(x) in nats, (n,), of examples as the flow takes them."""
    flow = trained.flow
    densities, posteriors = [], []
    for number, piece in enumerate(x.split(_CHUNK)):
        joint = torch.stack([flow.under_classes(flow.encode(fixed_noise(piece, number, draw)))
                             for draw in range(draws if x.dtype == torch.uint8 else 1)])  # fmt: skip
        densities.append(joint.logsumexp(2).mean(0))
        posteriors.append(joint.softmax(2).mean(0))
    return torch.cat(posteriors), torch.cat(densities)


def predictions(trained: Trained, posterior: Tensor, density: Tensor, known: np.ndarray[Any, Any]) -> pa.Table:
    """One row per example: class, p(y|x) of each class, log p(x), and how unusual it is.

    Args:
        known: log p(x) of the run's test examples, ascending; `below` is the share of them that is less likely.
    """
    order = density.argsort(stable=True)
    rank = torch.empty_like(order)
    rank[order] = torch.arange(1, len(order) + 1)
    names, best = trained.names, posterior.argmax(1).tolist()
    return pa.table(
        {
            "row": list(range(len(density))),
            "class": [names[k] for k in best],
            **{f"p({name})": posterior[:, k].tolist() for k, name in enumerate(names)},
            "log_density": density.tolist(),
            "outlier_rank": rank.tolist(),
            "below": (np.searchsorted(known, density.numpy()) / max(1, len(known))).tolist(),
        }
    )


def _shown(trained: Trained, table: pa.Table, rows: pa.Table, where: str) -> dict[str, pa.Table]:
    """Short tables: the file as a whole, its most unusual rows, and calibration where it has labels."""
    facts: dict[str, Any] = {
        "rows": [len(rows)],
        "mean log p(x), nats": [float(np.mean(rows["log_density"].to_numpy()))],
        "less likely than 99 % of test examples": [int((rows["below"].to_numpy() < 0.01).sum())],
    }
    unusual = (
        rows.sort_by("outlier_rank").slice(0, _SHOWN).select(["outlier_rank", "row", "class", "log_density", "below"])
    )
    tables = {f"The {len(unusual)} rows of lowest density": unusual}
    if "label" in table.column_names and table["label"].null_count < len(table):
        known, right, confidence = _judged(trained, table, rows, where)
        if known:
            facts |= {"labelled": [known], "error": [1 - sum(right) / known],
                      "calibration error": [calibration_error(confidence, right)]}  # fmt: skip
            tables["Reliability on its labelled rows"] = reliability(confidence, right)
    return {"Predictions (--parquet FILE stores every row)": pa.table(facts), **tables}


def _judged(trained: Trained, table: pa.Table, rows: pa.Table, where: str) -> tuple[int, list[bool], list[float]]:
    """How many rows have a label, whether their class is right, and its probability."""
    (numbers,), names = class_numbers([table["label"]], None, where)
    guessed = rows["class"].to_pylist()
    sure = np.stack([rows[f"p({name})"].to_numpy() for name in trained.names], 1).max(1)
    given = [number for number, label in enumerate(numbers.tolist()) if label >= 0]
    right = [names[int(numbers[number])] == guessed[number] for number in given]
    return len(given), right, [float(sure[number]) for number in given]


def draw(finished: Finished, inputs: Sequence[str], settings: DrawSettings) -> Findings:
    """New examples of every class, as pictures or as rows of the user's columns.

    Raises:
        SpecError: it takes no file.
        DataError: no flow was stored.
    """
    if inputs:
        raise SpecError(f"sample takes no file, found {', '.join(inputs)}: raybayes sample --run PATH.")
    found = resampled(finished, settings)
    assert found.results is not None, "samples are rows"
    trained = load_trained(finished, _trial(finished, settings.trial), settings.repeat)
    rows = as_rows(trained, found.results)
    if settings.parquet:
        _write(rows, settings.parquet)
    tables = dict(found.tables)
    if trained.features:
        tables["The first samples"] = rows.slice(0, _SHOWN)
    return Findings(tables, found.figures, rows)


def as_rows(trained: Trained, samples: pa.Table) -> pa.Table:
    """Samples in the columns of the user's file; a boolean is true above 1/2, a category is its largest value."""
    if not trained.features or trained.projection is None:
        return samples
    values = torch.from_numpy(np.stack(samples["values"].to_numpy()).astype(np.float32))
    raw = trained.projection.inverse(values).numpy()
    columns: dict[str, Any] = {}
    at = 0
    for feature in trained.features:
        part = raw[:, at : at + feature.width]
        at += feature.width
        match feature.kind:
            case "number":
                columns[feature.name] = part[:, 0]
            case "yes or no":
                columns[feature.name] = part[:, 0] > 0.5
            case "one-hot":
                columns[feature.name] = [feature.values[k] for k in part.argmax(1)]
            case "list":
                columns[feature.name] = part.tolist()
    return pa.table({**columns, "label": samples["label_name"]})


def _write(rows: pa.Table, file: str) -> None:
    path = Path(file).expanduser()
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(rows, path)
    except OSError as error:
        raise StoreError(f"{path} cannot be written: {error.strerror or error}; choose another --parquet.") from None
