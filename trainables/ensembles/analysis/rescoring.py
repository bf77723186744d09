"""`raybayes rescore` for ensembles: every metric of every ensemble size, recomputed from the stored predictions."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from multiprocessing import get_context
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import BaseModel, ConfigDict, Field

from raybayes.contract import Findings, Finished
from raybayes.errors import DataError
from trainables.ensembles.analysis.comparison import record
from trainables.ensembles.analysis.findings import compared
from trainables.ensembles.config import Config
from trainables.ensembles.metrics.protocol import ALL_SCORES, SCORES
from trainables.ensembles.run.plan import plan
from trainables.ensembles.stored.hyper_deep import hyper_deep_ensemble
from trainables.ensembles.stored.rescore import rescore


class RescoreSettings(BaseModel):
    """The options of rescoring; their defaults repeat the run's own protocol."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    split: Literal["test", "val"] = Field("test", description="Scored images")
    k_max: int = Field(0, ge=0, description="Largest ensemble size, for runs with that many members; 0 = all")
    splits_seed: int = Field(0, ge=0, description="Seed of the halves of test-time cross-validation")
    repeats: int = Field(
        5, ge=1, le=1000, description="Number of random halvings of the images; the paper: 5, ImageNet 2"
    )
    order: int | None = Field(None, ge=0, description="Seed of a random order of the members; null = as trained")
    scores: Literal["all", "main"] = Field("all", description="main leaves out class-wise calibration and detection")
    temperature: Literal["halves", "val"] = Field("halves", description="Images that the temperature is fitted on")
    hyper_deep: int = Field(
        0, ge=0, le=1000, description="Above 0: size of an ensemble chosen from all members by validation CLL"
    )
    processes: int = Field(1, ge=1, le=256, description="Runs scored at the same time")


def rescored(finished: Finished, settings: RescoreSettings) -> Findings:
    """The long table of results of every stored run, and the comparison of methods that it gives.

    Raises:
        DataError: nothing is stored, no run has `k_max` members, or predictions are not probabilities.
    """
    if "predictions" not in finished.tables:
        raise DataError("no predictions are stored here; wait until a run has finished its first member.")
    chosen = hyper_deep_table(finished, settings) if settings.hyper_deep else {}
    keys = sorted({(row["trial"], row["repeat"]) for row in finished.reports.select(["trial", "repeat"]).to_pylist()})
    stored = (finished.table("predictions", trial, repeat) for trial, repeat in keys)
    tables = [table for table in _all(settings, (table for table in stored if len(table))) if len(table)]
    if not tables:
        raise DataError(
            f"no run has stored predictions of the split {settings.split!r}; wait until one has finished a member."
        )
    results = pa.concat_tables(tables)
    if settings.k_max > (largest := pc.max(results["n_samples"]).as_py()):
        raise DataError(
            f"k_max = {settings.k_max}, but no run has more than {largest} members; lower it, or use 0 for all."
        )
    found = compared(finished, results, settings.split)
    return replace(found, tables={**found.tables, **chosen})


def hyper_deep_table(finished: Finished, settings: RescoreSettings) -> dict[str, pa.Table]:
    """The members that greedy selection with replacement takes from everything the sweep has trained; a row per size.

    CLL and error are those of the members so far on the test images, which do not enter the choice.
    """
    predictions = finished.table("predictions")
    found = hyper_deep_ensemble(predictions, settings.hyper_deep, settings.splits_seed)
    methods = {trial: record(finished.table("predictions", trial))["config"]["method"] for trial, _, _ in found.members}
    rows = [
        {
            "K": size, "trial": trial, "repeat": repeat, "member": member, "method": methods[trial],
            "validation CLL": validation, "CLL": test["ll"], "error %": 100 * test["error"],
        }
        for size, ((trial, repeat, member), validation, test) in enumerate(
            zip(found.members, found.validation_cll, found.test, strict=True), start=1)
    ]  # fmt: skip
    pool = len(set(zip(*(predictions[name].to_pylist() for name in ("trial", "repeat", "member")), strict=True)))
    return {f"Hyper-deep ensemble, chosen one by one from {pool} members": pa.Table.from_pylist(rows)}


def _all(settings: RescoreSettings, stored: Iterator[pa.Table]) -> Iterator[pa.Table]:
    if settings.processes == 1:
        yield from (one_run(settings, table) for table in stored)
        return
    with ProcessPoolExecutor(settings.processes, mp_context=get_context("spawn")) as pool:
        yield from pool.map(partial(one_run, settings), stored)


def one_run(settings: RescoreSettings, predictions: pa.Table) -> pa.Table:
    """The results of one run, with columns that describe it; validation images too, since they choose the trials."""
    facts = record(predictions)
    config = Config.model_validate(facts["config"])
    scores = ALL_SCORES if settings.scores == "all" else SCORES
    known = set(pc.unique(predictions["split"]).to_pylist())
    k_max = min(settings.k_max, len(pc.unique(predictions["member"])))  # a sweep may contain single networks
    parts = []
    for split in {settings.split: None, "val": None}:
        if split in known:
            parts.append(rescore(
                predictions, split, scores if split == settings.split else {"ll": SCORES["ll"]}, settings.splits_seed,
                settings.repeats, k_max, settings.order,
                fit_on="val" if settings.temperature == "val" and split != "val" else None,
            ))  # fmt: skip
    results = pa.concat_tables(parts)
    shape = plan(config)
    cost = [shape.cost_epochs(size - 1) for size in results["n_samples"].to_pylist()]
    columns = {
        "dataset": pa.array([config.dataset] * len(results)),
        "model": pa.array([config.arch] * len(results)),
        "method": pa.array([config.method] * len(results)),
        "augment": pa.array([config.tta] * len(results)),
        "cost_epochs": pa.array(cost, pa.int32()),
        "seed": pa.array([facts["seed"]] * len(results), pa.int64()),
    }
    for name, column in columns.items():
        results = results.append_column(name, column)
    return results
