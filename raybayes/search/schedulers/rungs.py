"""Early stopping as pure functions of the reports so far: ASHA, median stopping, Hyperband.

All of them minimise; a maximised objective is negated before. A decision depends on earlier reports only, so replaying
a history gives the same decisions.
"""

from __future__ import annotations

import importlib
import math
import statistics
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from raybayes.errors import SpecError
from raybayes.spec.component import GIVEN, Component
from raybayes.wording import unknown

SCHEDULERS = ("none", "asha", "median", "hyperband", "pbt")
RANKING = ("asha", "hyperband")  # they only rank the trials at a step, so several objectives are possible


@dataclass
class Curves:
    """The curves of all trials: losses by step and trial, and by trial and step."""

    by_step: dict[int, dict[int, float]] = field(default_factory=lambda: defaultdict(dict))
    by_trial: dict[int, dict[int, float]] = field(default_factory=lambda: defaultdict(dict))

    def add(self, trial: int, step: int, loss: float) -> None:
        self.by_step[step][trial] = loss
        self.by_trial[trial][step] = loss

    def at(self, step: int) -> Mapping[int, float]:
        """The losses of all trials that reported at this step."""
        return self.by_step[step]


class Scheduler(Protocol):
    """Decides whether a trial that has just reported at `step` continues: a pure function of the curves so far.

    It keeps no state and draws no random numbers, so that a resumed sweep decides as an uninterrupted one. A user's own
    is given as an object, or by the import path of its class; a dataclass of plain values is stored with the sweep.
    """

    def should_continue(self, curves: Curves, trial: int, step: int) -> bool: ...


@dataclass(frozen=True)
class NoPruning:
    """Never stops a trial."""

    def should_continue(self, curves: Curves, trial: int, step: int) -> bool:
        return True


@dataclass(frozen=True)
class Asha:
    """Asynchronous successive halving, stopping variant (Li et al., MLSys 2020, arXiv 1810.05934).

    At the rungs g, g*eta, g*eta^2, ... (g: grace_period) a trial continues if its loss is among the best
    1/eta of all trials that reached the rung so far, including itself. The first eta - 1 trials at a rung continue,
    and of trials with equal losses 1/eta.
    """

    grace_period: int = 1
    eta: float = 3.0

    def is_rung(self, step: int) -> bool:
        """Whether this step is a rung."""
        return _is_rung(step, self.grace_period, self.eta)

    def should_continue(self, curves: Curves, trial: int, step: int) -> bool:
        if not self.is_rung(step):
            return True
        return _in_best_share(curves.at(step), trial, self.eta)


def _is_rung(step: int, grace_period: int, eta: float) -> bool:
    level = float(grace_period)
    while round(level) < step:
        level *= eta
    return round(level) == step


def _in_best_share(losses: Mapping[int, float], trial: int, eta: float) -> bool:
    """Whether a trial is among the best 1/eta at its rung. Of equal losses 1/eta continue, in the order of the trials.

    Networks that all predict at chance have exactly equal losses; if ties all continued, they would train to the end.
    """
    mine = losses[trial]
    better = tied = 0  # of the others with the same loss, those that continue
    for count, other in enumerate(sorted(other for other in losses if other != trial), start=1):
        if losses[other] < mine:
            better += 1
        elif losses[other] == mine and _has_place(count, better + tied, eta):
            tied += 1
    return _has_place(len(losses), better + tied, eta)


def _has_place(count: int, ahead: int, eta: float) -> bool:
    """Whether a trial with so many of `count` trials ahead of it (itself is one of them) is in the best 1/eta."""
    return count < eta or ahead < math.floor(count / eta)


@dataclass(frozen=True)
class Hyperband:
    """Asynchronous Hyperband: ASHA in several brackets, whose first rungs are grace_period * eta^s for s = 0, 1, ...

    Trials are assigned to brackets by number, in the proportions of Hyperband's budget rule (Li et al., JMLR 2018,
    arXiv 1603.06560): of B brackets, bracket s gets a share of eta^(B-1-s) * B/(B-s).
    """

    grace_period: int = 1
    eta: float = 3.0
    brackets: int = 3

    def bracket_of(self, trial: int) -> int:
        """The bracket of a trial, which depends on its number only."""
        shares = [
            math.ceil(self.brackets * self.eta ** (self.brackets - 1 - s) / (self.brackets - s))
            for s in range(self.brackets)
        ]
        position = trial % sum(shares)
        for s, share in enumerate(shares):
            if position < share:
                return s
            position -= share
        raise AssertionError("the shares cover every position")

    def should_continue(self, curves: Curves, trial: int, step: int) -> bool:
        mine = self.bracket_of(trial)
        grace_period = round(self.grace_period * self.eta**mine)
        if step < grace_period or not _is_rung(step, grace_period, self.eta):
            return True
        rivals = {other: loss for other, loss in curves.at(step).items() if self.bracket_of(other) == mine}
        return _in_best_share(rivals, trial, self.eta)


@dataclass(frozen=True)
class Median:
    """Median stopping (Golovin et al., Google Vizier, KDD 2017, section 3.2).

    A trial stops if its best loss so far is worse than the median of the other trials' mean losses up to the same step,
    once `min_trials` others have reached that step and the trial has made `grace_period` reports.
    """

    grace_period: int = 1
    min_trials: int = 3

    def should_continue(self, curves: Curves, trial: int, step: int) -> bool:
        mine = [loss for s, loss in curves.by_trial[trial].items() if s <= step]
        others = [other for other in curves.by_step[step] if other != trial]
        if len(mine) < self.grace_period or len(others) < self.min_trials:
            return True
        means = [statistics.fmean(v for s, v in curves.by_trial[other].items() if s <= step) for other in others]
        return min(mine) <= statistics.median(means)


_FACTORS = ("eta", "factor")  # multipliers: 1 would change nothing
_KINDS: dict[str, type] = {"none": NoPruning, "asha": Asha, "median": Median, "hyperband": Hyperband}


def make_scheduler(scheduler: Component) -> Scheduler:
    """The scheduler of that name and options ("pbt" is not one of these: see `raybayes.search.schedulers.population`).

    Raises:
        SpecError: an unknown name or option, or a value out of range.
    """
    if scheduler.object is not None:
        return _own(scheduler.object, scheduler)
    if "." in scheduler.name:
        return _imported(scheduler)
    if scheduler.name not in _KINDS:
        raise SpecError(unknown("scheduler", scheduler.name, SCHEDULERS))
    options = read_options("scheduler", scheduler, _KINDS[scheduler.name])
    made: Scheduler = _KINDS[scheduler.name](**options)
    return made


def _imported(scheduler: Component) -> Scheduler:
    """A user's own scheduler, by the import path of its class."""
    if GIVEN in scheduler.options:
        raise SpecError(
            f"scheduler {scheduler.name} was given as an object in Python, which is not stored; give it again: "
            "rb.resume(path, scheduler=...)."
        )
    module, _, name = scheduler.name.rpartition(".")
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise SpecError(f"scheduler {scheduler.name}: it cannot be imported ({error}); check the path.") from None
    try:
        made = kind(**scheduler.options)
    except (TypeError, ValueError) as error:
        raise SpecError(f"scheduler {scheduler}: {error}; check its options.") from None
    return _own(made, scheduler)


def _own(made: Any, scheduler: Component) -> Scheduler:
    if not callable(getattr(made, "should_continue", None)):
        raise SpecError(
            f"scheduler {scheduler.name} has no method should_continue(curves, trial, step); see Scheduler in "
            "raybayes.search.schedulers.rungs."
        )
    own: Scheduler = made
    return own


def read_options(what: str, named: Component, kind: type) -> dict[str, float]:
    """The options of a scheduler, checked against its fields: finite numbers above 0; factors above 1."""
    known = kind.__dataclass_fields__  # type: ignore[attr-defined]
    for name, value in named.options.items():
        if name not in known:
            shown = [f"{n} (default {f.default:g})" for n, f in known.items()]
            raise SpecError(unknown("option", name, known, owner=f"{what} {named.name}", shown=shown))
        least = 1.0 if name in _FACTORS else 0.0
        if not isinstance(value, int | float) or isinstance(value, bool) or not least < value < math.inf:
            raise SpecError(f"{what} {named.name}: {name} = {value!r}; it must be a finite number above {least:g}.")
        if isinstance(known[name].default, int) and not isinstance(value, int):
            raise SpecError(f"{what} {named.name}: {name} = {value!r}; it must be a whole number.")
    return named.options
