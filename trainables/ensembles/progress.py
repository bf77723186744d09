"""The training of one ensemble under way: what is done of it, what is reported of it, and what comes next."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from math import nan
from typing import Any

from raybayes.contract import Context, State
from trainables.ensembles.config.values import Config
from trainables.ensembles.data import ImageData
from trainables.ensembles.ensemble import Ensemble, Point
from trainables.ensembles.fused import Turn
from trainables.ensembles.fused.forward import Engine
from trainables.ensembles.methods import METHODS, Predictions, Run
from trainables.ensembles.metrics.curves import area_over_log_size
from trainables.ensembles.plan import Plan, plan
from trainables.ensembles.predictions import curve_table, member_table

News = dict[str, Any]  # of a run: its number `run`, its new `members`, and `now`, log-probabilities before the first


class Course:
    """One worker's side of a training: begins it, or goes on from its newest checkpoint.

    Args:
        config: the configuration.
        ctx: the sweep's side.
        data: the images, on the device.
        choose: gives the engine of a training that begins, which decides on how many runs make a round; one that goes
            on keeps its own.
    """

    def __init__(self, config: Config, ctx: Context, data: ImageData, choose: Callable[[], Engine]) -> None:
        self.config, self.ctx, self.data = config, ctx, data
        self.whole = plan(config)
        self.ensemble = Ensemble.of(data, config.split_seed)
        self.progress = [0] * self.whole.runs  # steps done of each run
        self.parked: dict[int, State] = {}  # states of begun runs that this worker will go on with
        self.runs: list[Run] = []  # those that it is busy with
        self.reported = 0
        self.metrics: dict[str, float] = {}
        saved = ctx.resume()
        if saved is not None:
            self._load(saved)
        self.engine: Engine = choose() if saved is None else saved["engine"]

    def _load(self, saved: State) -> None:
        self.progress, self.reported, self.metrics = list(saved["progress"]), saved["reported"], dict(saved["metrics"])
        self.ensemble.load(saved["ensemble"])
        own = own_runs(self.config, self.ctx, self.whole.runs)
        self.parked = {index: saved[f"run/{index}"] for index in own if f"run/{index}" in saved}

    def state(self) -> State:
        """The inverse of `_load`."""
        if self.config.share == "images" and self.ctx.rank:
            return {}  # rank 0 has all of it
        begun = dict(self.parked)
        for run in self.runs:
            if self.progress[run.index] < self.whole.steps_per_run:
                begun[run.index] = run.state()
        common = {"progress": self.progress, "reported": self.reported, "metrics": self.metrics}
        common |= {"ensemble": self.ensemble.state(), "engine": self.engine}
        return {**common, **{f"run/{index}": value for index, value in begun.items()}}

    @property
    def over(self) -> bool:
        return self.reported == self.whole.steps

    @property
    def due(self) -> bool:
        """Whether all that was done is reported, so that the next round can be trained."""
        return sum(self.progress) == self.reported

    def next_turns(self) -> list[Turn]:
        """What this worker goes on with: the runs it has, else parked or new ones; none when all are done.

        One run under the engine "sequential", else all of its unfinished runs that are as far as the first of them.
        """
        steps = self.whole.steps_per_run
        if not self.runs or self.progress[self.runs[0].index] == steps:
            left = [i for i in own_runs(self.config, self.ctx, self.whole.runs) if self.progress[i] < steps]
            side_by_side = [index for index in left if self.progress[index] == self.progress[left[0]]]
            self.runs = [self._run(index) for index in (left[:1] if self.engine == "sequential" else side_by_side)]
        return [Turn(run, self.progress[run.index]) for run in self.runs]

    def _run(self, index: int) -> Run:
        run = METHODS[self.config.method](self.config, self.data, self.ctx, index)
        if index in self.parked:
            run.load(self.parked.pop(index))
        return run

    def news(self, turns: Sequence[Turn], completed: Iterable[list[Predictions]]) -> list[News]:
        """Store the members that some turns have completed; what the other workers must know of each turn.

        The validation log-probabilities of the first run's network are told while there is no member.
        """
        news = []
        for (run, step), found in zip(turns, completed, strict=True):
            first = run.index * self.whole.members_per_run + self.whole.members_before(step)
            members = dict(enumerate(found, start=first))
            for number, member in members.items():
                if self.config.share == "members" or self.ctx.rank == 0:
                    self._store(run, number, member)
            alone = self.ensemble.size == 0 and run.index == 0 and not members
            news.append({"run": run.index, "members": members, "now": run.current("val") if alone else None})
        return news

    def _store(self, run: Run, number: int, member: Predictions) -> None:
        """Save one member's predictions on every split."""
        config, data, seed = self.config, self.data, self.ctx.seed
        cost = self.whole.cost_epochs(number) - run.index * self.whole.epochs
        for name, split in data.predicted.items():
            table = member_table(member[name], split, name, number, config, data, seed, cost, run.seconds)
            self.ctx.save_table(f"predictions/{name}-member-{number:03d}", table)

    def take(self, news: Iterable[News]) -> None:
        """Take in what all workers have done in a round."""
        now: Point | None = None
        for item in news:
            self.progress[item["run"]] += 1
            for number, member in item["members"].items():
                self.ensemble.add(number, member, self.whole.cost_epochs(number))
            if item["now"] is not None:
                now = self.ensemble.score_alone("val", item["now"], self.progress[item["run"]])
        self.metrics = summary(self.ensemble, now, self.whole, self.progress)

    def report(self) -> None:
        """Make the next report of those that the round is worth; the last one scores the test images too."""
        self.reported += 1
        if self.over:
            self.metrics |= final_summary(self.ensemble)
            if self.ctx.rank == 0:
                self.ctx.save_table("curve", curve_table(self.ensemble.points, self.config, self.ctx.seed))
        self.ctx.report(self.metrics, self.state)


def own_runs(config: Config, ctx: Context, runs: int) -> range:
    """The runs that this worker takes part in."""
    return range(runs) if config.share == "images" else range(ctx.rank, runs, ctx.world_size)


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
