"""The training function of the ensemble study: reads from top to bottom, knows no method's details."""

from __future__ import annotations

import itertools
from math import nan
from typing import Any

from raybayes.contract import Context, State
from raybayes.errors import DataError
from trainables.ensembles.config import Config
from trainables.ensembles.data import ImageData, prepare, unseen_classes
from trainables.ensembles.ensemble import Ensemble, Point
from trainables.ensembles.fused import Group, settle
from trainables.ensembles.fused.forward import Engine
from trainables.ensembles.methods import METHODS, Predictions, Run
from trainables.ensembles.metrics.curves import area_over_log_size
from trainables.ensembles.plan import Plan, plan
from trainables.ensembles.predictions import curve_table, member_table


def train(config: Config, ctx: Context) -> None:
    """Train the members of one ensemble, store their predictions, and report the score of the ensemble so far.

    Worker r of W trains runs r, r + W, ...; a method of one run leaves the other workers waiting, unless `share` is
    "images": then all workers train every run together, each on its part of every batch. One report stands for
    one step of one run (see `plan`), so a round of several runs (on several workers, or side by side on one) makes as
    many reports, with the same numbers. Until the first member is finished, the first run's network stands for the
    ensemble.
    """
    whole = plan(config)
    if config.share == "members" and ctx.rank == 0 and ctx.world_size > whole.runs:
        ctx.log.warning(
            "method %s has %d training run(s): %d of %d workers wait; -s share=images lets them train it together",
            config.method,
            whole.runs,
            ctx.world_size - whole.runs,
            ctx.world_size,
        )
    foreign = None if config.foreign == "none" else ctx.data(config.foreign)
    data = prepare(config, ctx.data(config.dataset), ctx.device, foreign)
    if ctx.rank == 0 and (sentence := unseen_classes(data)) is not None:
        ctx.log.warning(sentence)
    if config.share == "images":
        check_shares(config, len(data.train), ctx.world_size)
    ensemble = Ensemble.of(data, config.split_seed)
    progress = [0] * whole.runs  # steps done of each run
    parked: dict[int, State] = {}  # states of begun runs that this worker will go on with
    reported = 0
    metrics: dict[str, float] = {}
    group: Group | None = None

    if (saved := ctx.resume()) is not None:
        progress, reported, metrics = list(saved["progress"]), saved["reported"], dict(saved["metrics"])
        ensemble.load(saved["ensemble"])
        mine = own_runs(config, ctx, whole.runs)
        parked = {index: saved[f"run/{index}"] for index in mine if f"run/{index}" in saved}
    engine = saved["engine"] if saved is not None else settle(config, data, ctx, whole.runs)

    def state() -> State:
        if config.share == "images" and ctx.rank:
            return {}  # rank 0 has all of it
        begun = dict(parked)
        for run in group.runs if group is not None else ():
            if progress[run.index] < whole.steps_per_run:
                begun[run.index] = run.state()
        common = {"progress": progress, "reported": reported, "metrics": metrics, "ensemble": ensemble.state()}
        return {**common, "engine": engine, **{f"run/{index}": value for index, value in begun.items()}}

    while reported < whole.steps:
        if sum(progress) == reported:  # all that was done is reported: do the next round
            group = next_group(group, engine, progress, parked, config, data, ctx)
            news = [] if group is None else work(group, progress[group.runs[0].index], ensemble.size == 0, ctx)
            now: Point | None = None
            told = [news] if config.share == "images" else ctx.gather(news)
            for item in itertools.chain.from_iterable(told):
                progress[item["run"]] += 1
                for number, member in item["members"].items():
                    ensemble.add(number, member, whole.cost_epochs(number))
                if item["now"] is not None:
                    now = ensemble.score_alone("val", item["now"], progress[item["run"]])
            metrics = summary(ensemble, now, whole, progress)
        reported += 1
        if reported == whole.steps:
            metrics |= final_summary(ensemble)
            if ctx.rank == 0:
                ctx.save_table("curve", curve_table(ensemble.points, config, ctx.seed))
        ctx.report(metrics, state)


def own_runs(config: Config, ctx: Context, runs: int) -> range:
    """The runs that this worker takes part in."""
    return range(runs) if config.share == "images" else range(ctx.rank, runs, ctx.world_size)


def check_shares(config: Config, images: int, workers: int) -> None:
    """DataError if a batch has fewer than two images for each of the workers that share it."""
    smallest = images // -(-images // config.batch)
    if smallest < 2 * workers:
        raise DataError(
            f"share = images: a batch of {smallest} for {workers} workers is fewer than 2 images each; raise batch, or"
            " use fewer workers."
        )


def next_group(
    group: Group | None,
    engine: Engine,
    progress: list[int],
    parked: dict[int, State],
    config: Config,
    data: ImageData,
    ctx: Context,
) -> Group | None:
    """What this worker goes on with: the runs it has, else parked or new ones, or None when all are done.

    One run under the engine "sequential", else all of its unfinished runs that are as far as the first of them.
    """
    steps = plan(config).steps_per_run
    if group is not None and progress[group.runs[0].index] < steps:
        return group
    left = [index for index in own_runs(config, ctx, len(progress)) if progress[index] < steps]
    if not left:
        return None
    side_by_side = [index for index in left if progress[index] == progress[left[0]]]
    runs = []
    for index in left[:1] if engine == "sequential" else side_by_side:
        run = METHODS[config.method](config, data, ctx, index)
        if index in parked:
            run.load(parked.pop(index))
        runs.append(run)
    return Group(runs, engine)


def work(group: Group, step: int, alone: bool, ctx: Context) -> list[dict[str, Any]]:
    """Do one step of a group and store the members that it completed.

    Returns:
        What the other workers must know, one entry a run: `run`, its `members` by number, and `now`, the validation
        log-probabilities of the first run's network while there is no member (`alone`).
    """
    news = []
    for run, completed in zip(group.runs, group.advance(step), strict=True):
        first = run.index * run.plan.members_per_run + run.plan.members_before(step)
        members = dict(enumerate(completed, start=first))
        for number, member in members.items():
            if run.config.share == "members" or ctx.rank == 0:
                store(run, number, member, ctx)
        now = run.current("val") if alone and run.index == 0 and not members else None
        news.append({"run": run.index, "members": members, "now": now})
    return news


def store(run: Run, number: int, member: Predictions, ctx: Context) -> None:
    """Save one member's predictions on every split."""
    cost = run.plan.cost_epochs(number) - run.index * run.plan.epochs
    for name, split in run.data.predicted.items():
        table = member_table(member[name], split, name, number, run.config, run.data, ctx.seed, cost, run.seconds)
        ctx.save_table(f"predictions/{name}-member-{number:03d}", table)


def summary(ensemble: Ensemble, now: Point | None, whole: Plan, progress: list[int]) -> dict[str, float]:
    """The validation scores of the ensemble so far, and what it took."""
    point = ensemble.last("val") if ensemble.size else now
    assert point is not None  # the worker of run 0 always sends one while there is no member
    curve = {p.size: p.scores["ll"][1] for p in ensemble.points if p.split == "val"} or {1: point.scores["ll"][1]}
    return {
        "cll": point.scores["ll"][1],
        "cll_area": area_over_log_size(curve),
        **{name: point.scores[name][0] for name in ("ll", "error", "brier", "ece")},
        "temperature": point.temperature,
        "members": float(ensemble.size),
        "cost_epochs": float(sum(min(steps, whole.epochs) for steps in progress)),
    }


def final_summary(ensemble: Ensemble) -> dict[str, float]:
    """The test scores of the finished ensemble; no search reads them."""
    point = ensemble.last("test")
    return {
        "test_cll": point.scores["ll"][1],
        **{f"test_{name}": point.scores[name][0] for name in ("ll", "error", "brier", "ece", "aurc")},
        "test_temperature": point.temperature,
        **{f"test_{name}": point.diversity.get(name, nan) for name in ("disagreement", "mutual_information")},
    }
