"""Findings of a whole sweep of flows, and new samples from its stored flows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pyarrow as pa
import torch
from pydantic import BaseModel, ConfigDict, Field

from raybayes.contract import Findings, Finished
from raybayes.errors import DataError
from trainables.flows.analysis import figures
from trainables.flows.analysis.comparison import comparison_table
from trainables.flows.analysis.curves import curves
from trainables.flows.calibration import calibration_error, reliability
from trainables.flows.config import TOYS
from trainables.flows.sampling import as_pictures, class_samples, samples_table
from trainables.flows.weights import Trained, best_with_weights, load_trained

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHOWN_CLASSES = 20


class SampleSettings(BaseModel):
    """Which flow is sampled and how: `raybayes rescore PATH -s per_class=12 --figures FOLDER`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    trial: int | None = Field(None, ge=0, description="Trial whose flow is used; null: lowest validation error")
    repeat: int = Field(0, ge=0, description="Repeat of that trial")
    per_class: int = Field(10, ge=1, le=10_000, description="Samples per class")
    temperature: float = Field(1.0, ge=0, le=2, description="Deviation of the latents; below 1: closer to the mode")
    seed: int = Field(0, ge=0, description="Random seed of the latents")


def findings(finished: Finished) -> Findings:
    """Settings compared on the test examples, and pictures of the best trial's flow."""
    if "run" not in finished.tables:
        return Findings()
    runs = finished.table("run")
    alike = [
        json.dumps({**json.loads(text), "split_seed": None}, sort_keys=True) for text in runs["config"].to_pylist()
    ]
    runs = runs.append_column("config_without_split", pa.array(alike))
    counts = f"{runs['n_val'][0]} validation and {runs['n_test'][0]} test examples"
    tables = {f"Test scores by setting, mean over label splits ({counts})": comparison_table(runs)}
    if "predictions" in finished.tables:
        tables |= _calibration(finished, runs)
    if "data" in finished.tables:
        first = finished.table("data", runs["trial"][0].as_py(), runs["repeat"][0].as_py())
        tables["What the data were used for"] = first.select(["what", "name", "use"])
    caption = "Validation error and bits/dim over training: mean over label splits, bands of one standard error"
    drawn = {caption: curves(finished.reports, runs)}
    if any(runs["weights"].to_pylist()):
        trial = best_with_weights(finished)
        drawn |= pictures(load_trained(finished, trial), f"trial {trial}", SampleSettings())[1]
    return Findings(tables, drawn, runs.drop_columns(["config_without_split"]))


def _calibration(finished: Finished, runs: pa.Table) -> dict[str, pa.Table]:
    """Reliability of the run of lowest validation error on its test examples."""
    best = min(runs.to_pylist(), key=lambda row: (row["error"], row["trial"], row["repeat"]))
    rows = finished.table("predictions", best["trial"], best["repeat"])
    right = [k == label for k, label in zip(rows["predicted"].to_pylist(), rows["label"].to_pylist(), strict=True)]
    confidence = rows["confidence"].to_pylist()
    error = calibration_error(confidence, right)
    title = f"Reliability of trial {best['trial']} on the test examples (expected calibration error {error:.4f})"
    return {title: reliability(confidence, right)}


def resampled(finished: Finished, settings: SampleSettings) -> Findings:
    """New samples of one trained flow; `results` has one row a sample.

    Raises:
        DataError: no flow was stored, or not this one.
    """
    if "run" not in finished.tables:
        raise DataError("no trial has finished; let one finish, then try again.")
    trial = best_with_weights(finished) if settings.trial is None else settings.trial
    trained = load_trained(finished, trial, settings.repeat)
    table, drawn = pictures(trained, f"trial {trial}", settings)
    drawn_counts = pa.table(
        {
            "trial": [trial],
            "classes": [trained.flow.classes],
            "samples": [len(table)],
            "temperature": [settings.temperature],
            "seed": [settings.seed],
        }
    )
    return Findings(
        {"Samples drawn (--figures FOLDER draws them, --parquet FILE stores them)": drawn_counts}, drawn, table
    )


def pictures(trained: Trained, name: str, settings: SampleSettings) -> tuple[pa.Table, dict[str, Figure]]:
    """A table of samples, and figures of them by caption: grids of pictures, or the plane of a toy."""
    generator = torch.Generator().manual_seed(settings.seed)
    flow, config = trained.flow, trained.config
    x, labels = class_samples(flow, settings.per_class, generator, settings.temperature)
    seen_as_pictures = len(flow.trunk.deep) == 3 or any(len(shape) == 3 for shape in flow.trunk.gone)
    table = samples_table(x, labels, seen_as_pictures, trained.projection, trained.names)
    rows = min(flow.classes, _SHOWN_CLASSES)
    shown = as_pictures(x, seen_as_pictures, trained.projection)
    if shown is not None:
        columns = min(settings.per_class, 20)
        first = shown.view(flow.classes, settings.per_class, *shown.shape[1:])[:rows, :columns].flatten(0, 1)
        way = as_pictures(figures.between(trained, 10, generator), seen_as_pictures, trained.projection)
        assert way is not None, "what samples are, the way between two of them is too"
        return table, {
            f"Samples by class (a row per class, temperature {settings.temperature:g}), {name}": figures.picture_grid(
                first, rows, figures.rows_of(trained.names[:rows])
            ),
            f"Between two samples of a class (a row per class), {name}": figures.picture_grid(
                way[: rows * 10], rows, figures.rows_of(trained.names[:rows])
            ),
        }
    if config.dataset in TOYS:
        many, of = class_samples(flow, 300, generator, settings.temperature)
        return table, {f"Density and samples, {config.dataset}, {name}": figures.plane(trained, many, of)}
    return table, {}
