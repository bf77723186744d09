"""The training function of the ensemble study: reads from top to bottom, knows no method's details."""

from __future__ import annotations

from math import nan
from typing import Any

from raybayes.contract import Context, State
from trainables.ensembles.config import Config
from trainables.ensembles.data import ImageData, prepare
from trainables.ensembles.ensemble import Ensemble, Point
from trainables.ensembles.methods import METHODS, Predictions, Run
from trainables.ensembles.metrics.curves import area_over_log_size
from trainables.ensembles.plan import Plan, plan
from trainables.ensembles.predictions import curve_table, member_table


def train(config: Config, ctx: Context) -> None:
    """Train the members of one ensemble, store their predictions, and report the score of the ensemble so far.

    Worker r of W trains runs r, r + W, ...; a method of one run leaves the other workers waiting. One report stands for
    one step of one run (see `plan`), so W workers that train side by side report W times after each round, with the
    same numbers. Until the first member is finished, the first run's network stands for the ensemble.
    """
    whole = plan(config)
    if ctx.rank == 0 and ctx.world_size > whole.runs:
        ctx.log.warning("method %s has %d training run(s): %d of %d workers wait",
                        config.method, whole.runs, ctx.world_size - whole.runs, ctx.world_size)
    foreign = None if config.foreign == "none" else ctx.data(config.foreign)
    data = prepare(config, ctx.data(config.dataset), ctx.device, foreign)
    ensemble = Ensemble.of(data, config.split_seed)
    progress = [0] * whole.runs  # steps done of each run
    parked: dict[int, State] = {}  # states of begun runs that this worker will go on with
    reported = 0
    metrics: dict[str, float] = {}
    run: Run | None = None

    if (saved := ctx.resume()) is not None:
        progress, reported, metrics = list(saved["progress"]), saved["reported"], dict(saved["metrics"])
        ensemble.load(saved["ensemble"])
        mine = range(ctx.rank, whole.runs, ctx.world_size)
        parked = {index: saved[f"run/{index}"] for index in mine if f"run/{index}" in saved}

    def state() -> State:
        begun = dict(parked)
        if run is not None and progress[run.index] < whole.steps_per_run:
            begun[run.index] = run.state()
        common = {"progress": progress, "reported": reported, "metrics": metrics, "ensemble": ensemble.state()}
        return {**common, **{f"run/{index}": value for index, value in begun.items()}}

    while reported < whole.steps:
        if sum(progress) == reported:  # all that was done is reported: do the next round
            run = next_run(run, progress, parked, config, data, ctx)
            news = None if run is None else work(run, progress[run.index], ensemble.size == 0, ctx)
            now: Point | None = None
            for item in ctx.gather(news):
                if item is not None:
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


def next_run(
    run: Run | None, progress: list[int], parked: dict[int, State], config: Config, data: ImageData, ctx: Context
) -> Run | None:
    """The run that this worker goes on with: the one it has, a parked one, a new one, or None when all are done."""
    steps = plan(config).steps_per_run
    if run is not None and progress[run.index] < steps:
        return run
    for index in range(ctx.rank, len(progress), ctx.world_size):
        if progress[index] < steps:
            begun = METHODS[config.method](config, data, ctx, index)
            if index in parked:
                begun.load(parked.pop(index))
            return begun
    return None


def work(run: Run, step: int, alone: bool, ctx: Context) -> dict[str, Any]:
    """Do one step of a run and store the members that it completed.

    Returns:
        What the other workers must know: `run`, its `members` by number, and `now`, the validation log-probabilities of
        the first run's network while there is no member (`alone`).
    """
    first = run.index * run.plan.members_per_run + run.plan.members_before(step)
    members = dict(enumerate(run.advance(step), start=first))
    for number, member in members.items():
        store(run, number, member, ctx)
    now = run.current("val") if alone and run.index == 0 and not members else None
    return {"run": run.index, "members": members, "now": now}


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
