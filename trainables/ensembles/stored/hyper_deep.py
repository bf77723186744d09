"""Hyper-deep ensembles: members chosen from everything that a finished sweep has trained, without training."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow as pa

from raybayes.errors import DataError
from trainables.ensembles.metrics.average import RunningAverage
from trainables.ensembles.metrics.protocol import SCORES, Score, cross_validated
from trainables.ensembles.metrics.scores import Array, Targets, log_likelihood
from trainables.ensembles.metrics.selection import select_greedily
from trainables.ensembles.stored.runs import require_same_objects, stored_runs


@dataclass(frozen=True)
class HyperDeep:
    """An ensemble chosen from all members of a sweep.

    Its first K members are the ensemble that would be chosen at size K.

    Args:
        members: (trial, repeat, member) in the order of choice, repetitions included.
        validation_cll: per size, the calibrated log-likelihood on the objects that chose it: optimistic.
        test: per size, score -> calibrated value on the test objects.
    """

    members: tuple[tuple[int, int, int], ...]
    validation_cll: tuple[float, ...]
    test: tuple[dict[str, float], ...]


def hyper_deep_ensemble(predictions: pa.Table, size: int, split_seed: int = 0) -> HyperDeep:
    """Choose an ensemble greedily by validation CLL from all stored members, and score it on the test split.

    Raises:
        DataError: the runs were scored on different objects, or a member lacks one of the splits.
    """
    val, test = list(stored_runs(predictions, "val")), list(stored_runs(predictions, "test"))
    require_same_objects(val)
    require_same_objects(test)
    names = [[(run.trial, run.repeat, member) for run in found for member in run.members] for found in (val, test)]
    if names[0] != names[1]:
        raise DataError("some members have only validation or only test predictions; leave out unfinished runs.")
    candidates = {"val": [m for run in val for m in run.lp], "test": [m for run in test for m in run.lp]}
    chosen = select_greedily(candidates["val"], val[0].targets, size, split_seed)
    on_val = _by_size(candidates["val"], chosen, val[0].targets, {"ll": log_likelihood}, split_seed)
    on_test = _by_size(candidates["test"], chosen, test[0].targets, SCORES, split_seed)
    return HyperDeep(tuple(names[0][index] for index in chosen), tuple(one["ll"] for one in on_val), tuple(on_test))


def _by_size(
    pool: list[Array], chosen: list[int], targets: Targets, scores: Mapping[str, Score], split_seed: int
) -> list[dict[str, float]]:
    """Calibrated scores of the first 1, 2, ... of the chosen members."""
    average, found = RunningAverage(), []
    for index in chosen:
        average.add(pool[index])
        found.append(cross_validated(average.log_probabilities(), targets, scores, seed=split_seed).calibrated)
    return found
