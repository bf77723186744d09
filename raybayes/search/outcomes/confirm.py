"""Which configurations are run again over fresh seeds, which of them are clear losers, and what is known in the end.

The best of many noisy values is too good on average: it was chosen for its luck too. So the best few configurations
are repeated over seeds that the search has not seen, and the winner is chosen by the mean of these alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from raybayes.search.objective import Objective
from raybayes.search.outcomes.outcome import mean_and_error
from raybayes.search.outcomes.ranking import ranked
from raybayes.search.outcomes.records import TrialRecord

Losses = tuple[float, ...]  # one run: a loss an objective


@dataclass(frozen=True)
class Race:
    """When a candidate is a clear loser and gets no further seeds.

    It is one if some other candidate is better in every objective by a one-sided Welch test at `level`, both having
    run `least` times or more. The level holds for each look at each pair; it saves seeds and promises no error rate.
    """

    level: float = 0.05
    least: int = 2

    def lost(self, runs: Mapping[int, Sequence[Losses]]) -> set[int]:
        """The candidates among `runs` (losses of each run so far) that have lost against one that has not."""
        tested = {trial: losses for trial, losses in runs.items() if len(losses) >= self.least}
        order = sorted(tested, key=lambda trial: ([math.fsum(c) / len(c) for c in zip(*tested[trial], strict=True)]))
        standing: list[int] = []
        for trial in order:
            if not any(self._beats(tested[other], tested[trial]) for other in standing):
                standing.append(trial)
        return set(tested) - set(standing)

    def _beats(self, one: Sequence[Losses], other: Sequence[Losses]) -> bool:
        pairs = zip(zip(*one, strict=True), zip(*other, strict=True), strict=True)
        return all(_clearly_below(a, b, self.level) for a, b in pairs)


def _clearly_below(one: Sequence[float], other: Sequence[float], level: float) -> bool:
    """Whether the mean of `one` is below that of `other`: Welch, Biometrika 34 (1947), one-sided."""
    from scipy.stats import t

    (mean, error), (mean_other, error_other) = mean_and_error(one), mean_and_error(other)
    a, b = (error or 0.0) ** 2, (error_other or 0.0) ** 2
    if a + b == 0:
        return mean < mean_other
    freedom = (a + b) ** 2 / (a**2 / (len(one) - 1) + b**2 / (len(other) - 1))
    return bool(t.sf((mean_other - mean) / math.sqrt(a + b), freedom) < level)


@dataclass(frozen=True)
class Confirmation:
    """What fresh seeds say of one trial's configuration.

    Args:
        n: runs over fresh seeds.
        values: their mean, one an objective.
        errors: standard errors of the means; None for a single run.
        feasible: whether the mean metrics satisfy the constraints.
        standing: whether it was repeated to the end: neither a loser of the race nor failed.
        searched: the values that the search had found, by which it was chosen.
    """

    trial: int
    n: int
    values: tuple[float, ...]
    errors: tuple[float | None, ...]
    feasible: bool
    standing: bool
    searched: tuple[float, ...]


def candidates(records: Sequence[TrialRecord], objectives: Sequence[Objective], top: int) -> list[TrialRecord]:
    """The best `top` different configurations of finished, feasible trials; several objectives: by dominance."""
    done = {r.number: r for r in records if r.values is not None and r.feasible}
    chosen: dict[str, TrialRecord] = {}
    for number in ranked(list(done.values()), objectives):
        chosen.setdefault(json.dumps(done[number].params, sort_keys=True), done[number])
    return list(chosen.values())[:top]


def samples(done: Mapping[Any, Mapping[str, float]], objectives: Sequence[Objective]) -> list[Losses]:
    """The losses of a trial's finished repeats."""
    return [tuple(o.loss(metrics[o.name]) for o in objectives) for metrics in done.values()]


@dataclass(frozen=True)
class Stage:
    """One confirmation as its own study tells it: its trials, and the trial of the sweep that each one repeats."""

    records: Sequence[TrialRecord]
    origins: Sequence[int]
    repeats: int


def pooled(
    stages: Iterable[Stage], records: Sequence[TrialRecord], objectives: Sequence[Objective]
) -> dict[int, Confirmation]:
    """What all confirmations of a sweep say together: the runs of each trial, over all stages.

    A trial stands if it stands in the newest stage that tried it; constraints count as that stage found them.
    """
    found = {record.number: record for record in records}
    runs: dict[int, list[Losses]] = {}
    newest: dict[int, tuple[TrialRecord, int]] = {}
    for stage in stages:
        for record, origin in zip(stage.records, stage.origins, strict=False):
            if origin in found and record.state.final:
                runs.setdefault(origin, []).extend(samples(record.notes.get("done", {}), objectives))
                newest[origin] = (record, stage.repeats)
    confirmed = {}
    for trial, losses in runs.items():
        if losses:
            record, repeats = newest[trial]
            signs = [objective.loss(1.0) for objective in objectives]
            told = [mean_and_error([sign * loss[i] for loss in losses]) for i, sign in enumerate(signs)]
            confirmed[trial] = Confirmation(
                trial,
                n=len(losses),
                values=tuple(mean for mean, _ in told),
                errors=tuple(error for _, error in told),
                feasible=record.feasible,
                standing=record.values is not None and len(record.notes.get("done", {})) >= repeats,
                searched=found[trial].values or (),
            )
    return confirmed


def judged(records: Sequence[TrialRecord], confirmed: Mapping[int, Confirmation]) -> list[TrialRecord]:
    """The records that may win: those that stand, with their means; all records as they are if none was confirmed."""
    standing = {trial: c for trial, c in confirmed.items() if c.standing}
    if not standing:
        return list(records)
    return [
        replace(r, values=standing[r.number].values, feasible=standing[r.number].feasible)
        for r in records
        if r.number in standing
    ]
