"""Warm start from earlier sweeps of the same space: configurations to try first, and trials for the sampler.

Values of another task (such as another data set) are on another scale, so only their order within their own sweep is
used: a trial that was better than 90 % of its sweep counts as better than 90 % of this one. This is the transfer by
quantiles of Salinas et al., ICML 2020 (arXiv 1909.13595), without their regression.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field

from raybayes.search.objective import Objective
from raybayes.search.outcomes.outcome import State
from raybayes.search.outcomes.ranking import rank_trials
from raybayes.search.outcomes.records import TrialRecord
from raybayes.search.study.transfer_study import PastTrial
from raybayes.space import Space, Value
from raybayes.space.sampling import distance

MAX_FIRST_CONFIGURATIONS = 10  # at most, from all earlier sweeps together
MIN_DISTANCE = 0.1  # between two of them: mean over the parameters of the distance as a share of the range


@dataclass(frozen=True)
class EarlierSweep:
    """An earlier sweep.

    Args:
        path: its folder or URI.
        same_task: whether its fixed configuration equals this sweep's, so that its values are on the same scale.
        records: its trials, in this sweep's space.
        changed: numbers of the trials whose configuration is not the one that was trained, because the space has
            changed since; of these only the order counts.
    """

    path: str
    same_task: bool
    records: Sequence[TrialRecord]
    changed: frozenset[int] = frozenset()


@dataclass(frozen=True)
class WarmStart:
    """What a sweep starts from; stored at its first start, so that a resumed sweep starts from the same.

    Args:
        portfolio: configurations to try first.
        past: trials that the sampler sees in addition to the sweep's own.
        sources: paths of the earlier sweeps.
        remark: what was done to trials whose space has changed since.
    """

    portfolio: tuple[dict[str, Value], ...] = ()
    past: tuple[PastTrial, ...] = ()
    sources: tuple[str, ...] = field(default=())
    remark: str = ""

    def to_json(self) -> bytes:
        return json.dumps({"schema": 1, **asdict(self)}).encode()

    @classmethod
    def from_json(cls, data: bytes) -> WarmStart:
        """The inverse of `to_json`. Raises ValueError or KeyError for anything else."""
        found = json.loads(data)
        past = tuple(
            PastTrial(
                entry["params"], None if entry["values"] is None else tuple(entry["values"]), tuple(entry["standing"])
            )
            for entry in found["past"]
        )
        return cls(tuple(found["portfolio"]), past, tuple(found["sources"]), found.get("remark", ""))


def build_warm_start(
    sources: Sequence[EarlierSweep],
    space: Space,
    objectives: Sequence[Objective],
    first: Mapping[str, Value] | None,
    most: int,
) -> WarmStart:
    """The best configurations of earlier sweeps (the best of each before the second of any) and all their trials.

    Args:
        first: the configuration that is tried in any case.
        most: the number of configurations to try first, at most.
    """
    past = tuple(known for source in sources for known in _past_trials(source, objectives))
    ladders = [_best_configurations(source, objectives) for source in sources]
    chosen: list[dict[str, Value]] = [] if first is None else [dict(first)]
    for place in range(max(map(len, ladders), default=0)):
        for params in (ladder[place] for ladder in ladders if place < len(ladder)):
            if len(chosen) - (first is not None) < most and all(
                distance(space, params, c) >= MIN_DISTANCE for c in chosen
            ):
                chosen.append(params)
    return WarmStart(tuple(chosen[first is not None :]), past, tuple(source.path for source in sources))


def _finished_trials(source: EarlierSweep) -> list[TrialRecord]:
    return [record for record in source.records if record.values is not None and record.feasible]


def _best_configurations(source: EarlierSweep, objectives: Sequence[Objective]) -> list[dict[str, Value]]:
    done = {record.number: record for record in _finished_trials(source)}
    return [done[number].params for number in rank_trials(list(done.values()), objectives)][:MAX_FIRST_CONFIGURATIONS]


def _past_trials(source: EarlierSweep, objectives: Sequence[Objective]) -> list[PastTrial]:
    done = _finished_trials(source)
    losses = [[o.loss((record.values or ())[i]) for record in done] for i, o in enumerate(objectives)]
    found = []
    for row, record in enumerate(done):
        standing = tuple(_quantile_of(column, row) for column in losses)
        on_the_scale = source.same_task and record.number not in source.changed
        found.append(PastTrial(record.params, record.values if on_the_scale else None, standing))
    return [*found, *_past_failures(source, objectives, done)]


def _past_failures(
    source: EarlierSweep, objectives: Sequence[Objective], done: Sequence[TrialRecord]
) -> list[PastTrial]:
    """The failures that the configuration is to blame for count as worse than all other trials of their sweep."""
    if not done:
        return []
    columns = list(zip(*(record.values or () for record in done), strict=True))
    worst = tuple(max(column, key=o.loss) for o, column in zip(objectives, columns, strict=True))
    return [
        PastTrial(
            record.params,
            worst if source.same_task and record.number not in source.changed else None,
            (1.0,) * len(objectives),
        )
        for record in source.records
        if record.state is State.FAIL and record.cause is not None and record.cause.certain
    ]


def _quantile_of(losses: Sequence[float], row: int) -> float:
    """The share of losses that are smaller; ties and the loss itself count half."""
    mine = losses[row]
    return (sum(loss < mine for loss in losses) + 0.5 * sum(loss == mine for loss in losses)) / len(losses)
