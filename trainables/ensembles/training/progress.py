"""The progress of one ensemble's training: finished steps, the reports about them, and the next steps."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import nan
from typing import TypedDict

from torch import Tensor

from raybayes.contract import Context, State
from trainables.ensembles.config import Config
from trainables.ensembles.data.images import ImageData
from trainables.ensembles.fused.forward import Engine
from trainables.ensembles.fused.group import RunStep
from trainables.ensembles.methods.registry import start_run
from trainables.ensembles.metrics.curves import area_over_log_size
from trainables.ensembles.run.interface import Predictions, TrainingRun
from trainables.ensembles.run.plan import Plan, plan
from trainables.ensembles.training.ensemble import Ensemble, Point
from trainables.ensembles.training.tables import curve_table, member_table


class StepResult(TypedDict):
    """What all workers need to know about one step of one run.

    Keys:
        run: the run's number.
        members: the new members by number.
        current: validation log-probabilities (n, classes) of the first run's network until there is a member.
    """

    run: int
    members: dict[int, Predictions]
    current: Tensor | None


class TrainingProgress:
    """One worker's part of a training, from its start or from its newest checkpoint.

    Args:
        config: the configuration.
        ctx: the trial's context.
        data: the images, on the device.
        choose: gives the engine at the start of a training, which decides how many runs make a round; a resumed
            training keeps its engine.
    """

    def __init__(self, config: Config, ctx: Context, data: ImageData, choose: Callable[[], Engine]) -> None:
        self.config, self.ctx, self.data = config, ctx, data
        self.whole = plan(config)
        self.ensemble = Ensemble.of(data, config.split_seed)
        self.steps_done = [0] * self.whole.runs
        self.paused: dict[int, State] = {}  # states of runs that this worker will resume
        self.runs: list[TrainingRun] = []  # those that it trains now
        self.reported = 0
        self.metrics: dict[str, float] = {}
        saved = ctx.resume()
        if saved is not None:
            self._load(saved)
        self.engine: Engine = choose() if saved is None else saved["engine"]

    def _load(self, saved: State) -> None:
        self.steps_done, self.reported = list(saved["progress"]), saved["reported"]
        self.metrics = dict(saved["metrics"])
        self.ensemble.load(saved["ensemble"])
        own = own_runs(self.config, self.ctx, self.whole.runs)
        self.paused = {index: saved[f"run/{index}"] for index in own if f"run/{index}" in saved}

    def state(self) -> State:
        """The state for a checkpoint, the inverse of `_load`."""
        if self.config.share == "images" and self.ctx.rank:
            return {}  # rank 0 stores all of it
        unfinished = dict(self.paused)
        for run in self.runs:
            if self.steps_done[run.index] < self.whole.steps_per_run:
                unfinished[run.index] = run.state()
        common = {"progress": self.steps_done, "reported": self.reported, "metrics": self.metrics}
        common |= {"ensemble": self.ensemble.state(), "engine": self.engine}
        return {**common, **{f"run/{index}": value for index, value in unfinished.items()}}

    @property
    def finished(self) -> bool:
        """Whether every report was made."""
        return self.reported == self.whole.steps

    @property
    def all_reported(self) -> bool:
        """Whether every finished step was reported, so that the next round can be trained."""
        return sum(self.steps_done) == self.reported

    def next_steps(self) -> list[RunStep]:
        """The next round of this worker: its current runs, else paused or fresh ones; empty when all have finished.

        With the engine "sequential" one run, otherwise all unfinished runs with as many steps as the first of them.
        """
        steps = self.whole.steps_per_run
        if not self.runs or self.steps_done[self.runs[0].index] == steps:
            left = [i for i in own_runs(self.config, self.ctx, self.whole.runs) if self.steps_done[i] < steps]
            side_by_side = [index for index in left if self.steps_done[index] == self.steps_done[left[0]]]
            self.runs = [self._run(index) for index in (left[:1] if self.engine == "sequential" else side_by_side)]
        return [RunStep(run, self.steps_done[run.index]) for run in self.runs]

    def _run(self, index: int) -> TrainingRun:
        run = start_run(self.config, self.data, self.ctx, index)
        if index in self.paused:
            run.load(self.paused.pop(index))
        return run

    def store_members(self, steps: Sequence[RunStep], completed: Iterable[list[Predictions]]) -> list[StepResult]:
        """Store the members that these steps have completed; return the results of the steps for all workers."""
        results: list[StepResult] = []
        for (run, step), found in zip(steps, completed, strict=True):
            first = run.index * self.whole.members_per_run + self.whole.members_before(step)
            members = dict(enumerate(found, start=first))
            for number, member in members.items():
                if self.config.share == "members" or self.ctx.rank == 0:
                    self._store(run, number, member)
            alone = self.ensemble.size == 0 and run.index == 0 and not members
            current = run.current("val") if alone else None
            results.append({"run": run.index, "members": members, "current": current})
        return results

    def _store(self, run: TrainingRun, number: int, member: Predictions) -> None:
        """Store one member's predictions on every split."""
        config, data, seed = self.config, self.data, self.ctx.seed
        cost = self.whole.cost_epochs(number) - run.index * self.whole.epochs
        for name, split in data.predicted.items():
            table = member_table(member[name], split, name, number, config, data, seed, cost, run.seconds)
            self.ctx.save_table(f"predictions/{name}-member-{number:03d}", table)

    def record(self, results: Iterable[StepResult]) -> None:
        """Record the results of all workers in one round, and compute the metrics of the next reports."""
        current: Point | None = None
        for result in results:
            self.steps_done[result["run"]] += 1
            for number, member in result["members"].items():
                self.ensemble.add(number, member, self.whole.cost_epochs(number))
            if result["current"] is not None:
                current = self.ensemble.score_alone("val", result["current"], self.steps_done[result["run"]])
        self.metrics = summary(self.ensemble, current, self.whole, self.steps_done)

    def report(self) -> None:
        """Make the next report of the round; the last report of a training also scores the test images."""
        self.reported += 1
        if self.finished:
            self.metrics |= final_summary(self.ensemble)
            if self.ctx.rank == 0:
                self.ctx.save_table("curve", curve_table(self.ensemble.points, self.config, self.ctx.seed))
        self.ctx.report(self.metrics, self.state)


def own_runs(config: Config, ctx: Context, runs: int) -> range:
    """The numbers of the runs that this worker trains."""
    return range(runs) if config.share == "images" else range(ctx.rank, runs, ctx.world_size)


def summary(ensemble: Ensemble, current: Point | None, whole: Plan, steps_done: list[int]) -> dict[str, float]:
    """The validation scores of the ensemble so far, and its training cost."""
    point = ensemble.last("val") if ensemble.size else current
    assert point is not None  # the worker of run 0 always sends one while there is no member
    curve = {p.size: p.scores["ll"][1] for p in ensemble.points if p.split == "val"} or {1: point.scores["ll"][1]}
    return {
        "cll": point.scores["ll"][1],
        "cll_area": area_over_log_size(curve),
        **{name: point.scores[name][0] for name in ("ll", "error", "brier", "ece")},
        "temperature": point.temperature,
        "members": float(ensemble.size),
        "cost_epochs": float(sum(min(steps, whole.epochs) for steps in steps_done)),
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
