"""Re-evaluates the best configurations on fresh seeds: which ones, which are clear losers, and the result.

The best of many noisy values is optimistic, because it was selected on its noise too. So the best few configurations
are repeated on seeds that the search has not used, and the winner is selected by the mean of these alone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from raybayes.search.objective import Objective
from raybayes.search.outcomes.outcome import mean_and_error
from raybayes.search.outcomes.ranking import rank_trials
from raybayes.search.outcomes.records import TrialRecord

Losses = tuple[float, ...]  # of one run, one per objective


@dataclass(frozen=True)
class Race:
    """Decides when a candidate is a clear loser and gets no more seeds.

    It is one if another candidate is better in every objective by a one-sided Welch test at `level`, and both have run
    at least `min_runs` times. The level holds per test of a pair; it saves seeds and bounds no overall error rate.
    """

    level: float = 0.05
    min_runs: int = 2

    def find_losers(self, runs: Mapping[int, Sequence[Losses]]) -> set[int]:
        """The candidates among `runs` (losses of each run so far) that lost against one that did not lose."""
        tested = {trial: losses for trial, losses in runs.items() if len(losses) >= self.min_runs}
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
    """The result of one trial's configuration on fresh seeds.

    Args:
        n: runs on fresh seeds.
        values: their means, one per objective.
        errors: standard errors of the means; None for a single run.
        feasible: whether the mean metrics satisfy the constraints.
        complete: whether it ran on all its seeds: it neither lost the race nor failed.
        searched: the values of the search, on which it was selected.
    """

    trial: int
    n: int
    values: tuple[float, ...]
    errors: tuple[float | None, ...]
    feasible: bool
    complete: bool
    searched: tuple[float, ...]


def choose_candidates(records: Sequence[TrialRecord], objectives: Sequence[Objective], top: int) -> list[TrialRecord]:
    """The best `top` distinct configurations of finished, feasible trials; by dominance for several objectives."""
    done = {r.number: r for r in records if r.values is not None and r.feasible}
    chosen: dict[str, TrialRecord] = {}
    for number in rank_trials(list(done.values()), objectives):
        chosen.setdefault(json.dumps(done[number].params, sort_keys=True), done[number])
    return list(chosen.values())[:top]


def losses_of_repeats(done: Mapping[Any, Mapping[str, float]], objectives: Sequence[Objective]) -> list[Losses]:
    """The losses of a trial's finished repeats."""
    return [tuple(o.loss(metrics[o.name]) for o in objectives) for metrics in done.values()]


@dataclass(frozen=True)
class Stage:
    """One confirmation, from its own study: its trials, and the trial of the sweep that each of them repeats."""

    records: Sequence[TrialRecord]
    origins: Sequence[int]
    repeats: int


def pool_confirmations(
    stages: Iterable[Stage], records: Sequence[TrialRecord], objectives: Sequence[Objective]
) -> dict[int, Confirmation]:
    """The result of all confirmations of a sweep together: the runs of each trial, over all stages.

    Whether a trial is complete and feasible is taken from the newest stage that ran it.
    """
    found = {record.number: record for record in records}
    runs: dict[int, list[Losses]] = {}
    newest: dict[int, tuple[TrialRecord, int]] = {}
    for stage in stages:
        for record, origin in zip(stage.records, stage.origins, strict=False):
            if origin in found and record.state.final:
                runs.setdefault(origin, []).extend(losses_of_repeats(record.notes.get("done", {}), objectives))
                newest[origin] = (record, stage.repeats)
    confirmed = {}
    for trial, losses in runs.items():
        if losses:
            record, repeats = newest[trial]
            signs = [objective.loss(1.0) for objective in objectives]
            means = [mean_and_error([sign * loss[i] for loss in losses]) for i, sign in enumerate(signs)]
            confirmed[trial] = Confirmation(
                trial,
                n=len(losses),
                values=tuple(mean for mean, _ in means),
                errors=tuple(error for _, error in means),
                feasible=record.feasible,
                complete=record.values is not None and len(record.notes.get("done", {})) >= repeats,
                searched=found[trial].values or (),
            )
    return confirmed


def eligible_records(records: Sequence[TrialRecord], confirmed: Mapping[int, Confirmation]) -> list[TrialRecord]:
    """The records that may win: the confirmed ones, with their means; all of them unchanged if none was confirmed."""
    complete = {trial: c for trial, c in confirmed.items() if c.complete}
    if not complete:
        return list(records)
    return [
        replace(r, values=complete[r.number].values, feasible=complete[r.number].feasible)
        for r in records
        if r.number in complete
    ]
