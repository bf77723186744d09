"""What earlier sweeps of the same space know: configurations to try first, and trials that inform the sampler.

Values of another task (another data set, say) lie on another scale, so of them only the order within their own sweep
is used: a trial that was better than 90 % of its sweep counts as one that is better than 90 % of this one. This is
the transfer by quantiles of Salinas et al., ICML 2020 (arXiv 1909.13595), without their regression.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from raybayes.search.objective import Objective
from raybayes.search.outcomes.ranking import ranked
from raybayes.search.outcomes.records import TrialRecord
from raybayes.search.study.transfer_study import Past
from raybayes.space import Choice, Parameter, Space, Value

MOST = 10  # configurations that are tried first
APART = 0.1  # least distance between two of them, as a share of the ranges, a mean over parameters


@dataclass(frozen=True)
class Source:
    """An earlier sweep.

    Args:
        path: where it lies.
        same_task: whether its fixed configuration is this sweep's, so that its values are on this sweep's scale.
        records: its trials.
    """

    path: str
    same_task: bool
    records: Sequence[TrialRecord]


@dataclass(frozen=True)
class WarmStart:
    """What a sweep starts from; written down at its first start, so that a resumed one starts from the same.

    Args:
        portfolio: configurations to try first.
        past: trials that the sampler sees beside the sweep's own.
        sources: paths of the sweeps they come from.
    """

    portfolio: tuple[dict[str, Value], ...] = ()
    past: tuple[Past, ...] = ()
    sources: tuple[str, ...] = field(default=())

    def to_json(self) -> bytes:
        return json.dumps({"schema": 1, **asdict(self)}).encode()

    @classmethod
    def from_json(cls, data: bytes) -> WarmStart:
        """The inverse of `to_json`. Raises ValueError or KeyError for anything else."""
        found = json.loads(data)
        past = tuple(
            Past(entry["params"], None if entry["values"] is None else tuple(entry["values"]), tuple(entry["standing"]))
            for entry in found["past"]
        )
        return cls(tuple(found["portfolio"]), past, tuple(found["sources"]))


def learn(
    sources: Sequence[Source],
    space: Space,
    objectives: Sequence[Objective],
    first: Mapping[str, Value] | None,
    most: int,
) -> WarmStart:
    """What the sources know: their best configurations, the best of each before the second of any, and all trials.

    Args:
        first: the configuration that is tried anyway.
        most: how many configurations to try first.
    """
    past = tuple(known for source in sources for known in _past(source, objectives))
    ladders = [_best_first(source, objectives) for source in sources]
    chosen: list[dict[str, Value]] = [] if first is None else [dict(first)]
    for place in range(max(map(len, ladders), default=0)):
        for params in (ladder[place] for ladder in ladders if place < len(ladder)):
            if len(chosen) - (first is not None) < most and all(distance(space, params, c) >= APART for c in chosen):
                chosen.append(params)
    return WarmStart(tuple(chosen[first is not None :]), past, tuple(source.path for source in sources))


def _done(source: Source) -> list[TrialRecord]:
    return [record for record in source.records if record.values is not None and record.feasible]


def _best_first(source: Source, objectives: Sequence[Objective]) -> list[dict[str, Value]]:
    done = {record.number: record for record in _done(source)}
    return [done[number].params for number in ranked(list(done.values()), objectives)][:MOST]


def _past(source: Source, objectives: Sequence[Objective]) -> list[Past]:
    done = _done(source)
    losses = [[o.loss((record.values or ())[i]) for record in done] for i, o in enumerate(objectives)]
    found = []
    for row, record in enumerate(done):
        standing = tuple(_share(column, row) for column in losses)
        found.append(Past(record.params, record.values if source.same_task else None, standing))
    return found


def _share(losses: Sequence[float], row: int) -> float:
    """Which share of the losses is smaller; ties and the loss itself count half."""
    mine = losses[row]
    return (sum(loss < mine for loss in losses) + 0.5 * sum(loss == mine for loss in losses)) / len(losses)


def distance(space: Space, one: Mapping[str, Value], other: Mapping[str, Value]) -> float:
    """How far two configurations are apart, in [0, 1]: the mean over the parameters that either of them has.

    A number counts by its share of the range (of the logarithm, if the range is one), a choice 0 or 1, a parameter
    that only one of them has 1.
    """
    names = [name for name in space if name in one or name in other]
    parts = [_apart(space[name], one[name], other[name]) if name in one and name in other else 1.0 for name in names]
    return math.fsum(parts) / len(parts) if parts else 0.0


def _apart(parameter: Parameter, one: Any, other: Any) -> float:
    if isinstance(parameter, Choice):
        return float(one != other)
    scale = math.log if parameter.log else float
    width = scale(parameter.high) - scale(parameter.low)
    return abs(scale(one) - scale(other)) / width if width else 0.0
