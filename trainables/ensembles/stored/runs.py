"""The stored members of the runs of a sweep, read from the table `predictions`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raybayes.errors import DataError
from trainables.ensembles.metrics.scores import Array, Targets, require_probabilities


@dataclass(frozen=True)
class StoredRun:
    """The stored members of one run on one split.

    Args:
        trial: number of the trial.
        repeat: number of its repeat.
        split: "val", "test" or "foreign".
        members: their numbers, ascending.
        lp: (members, n, classes) log-probabilities, float32 as stored.
        targets: (n,) classes.
        digest: sha256 over row numbers and targets.
    """

    trial: int
    repeat: int
    split: str
    members: tuple[int, ...]
    lp: Array
    targets: Targets
    digest: str


def stored_runs(predictions: pa.Table, split: str) -> Iterator[StoredRun]:
    """The runs in a table of predictions, in the order of trial and repeat.

    Args:
        predictions: parts of the table `predictions`; the store adds the columns trial and repeat, which are 0 in the
            tables of a single run.
        split: the images that were predicted.

    Raises:
        DataError: the split is missing, or members of one run were scored on different objects.
    """
    table = predictions
    for column in ("trial", "repeat"):
        if column not in table.column_names:
            table = table.append_column(column, pa.array(np.zeros(len(table), np.int64)))
    table = table.filter(pc.equal(table["split"], split))
    if not len(table):
        raise DataError(
            f"the predictions contain no split {split!r}; runs store 'val', 'test', and with the option foreign also"
            " 'foreign'."
        )
    keys = np.stack([table[name].to_numpy().astype(np.int64) for name in ("trial", "repeat", "member")], axis=1)
    for trial, repeat in np.unique(keys[:, :2], axis=0).tolist():
        rows = np.flatnonzero((keys[:, 0] == trial) & (keys[:, 1] == repeat))
        yield _stored_run(table.take(rows), trial, repeat, split, keys[rows, 2])


def _stored_run(table: pa.Table, trial: int, repeat: int, split: str, member: Targets) -> StoredRun:
    lists = table["lp"].combine_chunks()
    lp = lists.flatten().to_numpy().reshape(len(lists), -1)
    index, target = (table[name].to_numpy().astype(np.int64) for name in ("index", "target"))
    numbers = np.unique(member)
    parts = [np.flatnonzero(member == number) for number in numbers]
    digests = {_digest(index[rows], target[rows]) for rows in parts}
    if len(digests) > 1:
        raise DataError(
            f"trial {trial}, repeat {repeat}, {split}: members were scored on {len(digests)} different lists of objects"
            " (their row numbers and targets differ); do not mix runs of different data or split_seed."
        )
    stacked = np.stack([lp[rows] for rows in parts])
    for number, one in enumerate(stacked):  # a diverged member (nan) passes: its scores are nan
        require_probabilities(one, f"trial {trial}, repeat {repeat}, {split}, member {number}")
    return StoredRun(trial, repeat, split, tuple(numbers.tolist()), stacked, target[parts[0]], digests.pop())


def _digest(index: Targets, target: Targets) -> str:
    return hashlib.sha256(np.stack([index, target]).astype("<i8").tobytes()).hexdigest()


def member_order(run: StoredRun, k_max: int = 0, order: int | None = None) -> list[int]:
    """Positions of the members of sizes 1, 2, ..., in the order in which they join the ensemble.

    Args:
        run: a stored run.
        k_max: largest size; 0 for all members.
        order: None for the order of their numbers, otherwise the seed of a random order.

    Raises:
        DataError: `k_max` exceeds the number of stored members.
    """
    pool = len(run.lp)
    if k_max > pool:
        raise DataError(
            f"trial {run.trial}, repeat {run.repeat}: k_max = {k_max}, but {pool} members are stored; lower it, or use"
            " 0 for all."
        )
    numbers = np.arange(pool) if order is None else np.random.default_rng(order).permutation(pool)
    return [int(number) for number in numbers[: k_max or pool]]


def require_same_members(run: StoredRun, other: StoredRun | None, split: str) -> StoredRun:
    """The same run on another split.

    Raises:
        DataError: the two splits hold different members.
    """
    if other is None or other.members != run.members:
        found = "none" if other is None else ", ".join(map(str, other.members))
        raise DataError(
            f"trial {run.trial}, repeat {run.repeat}: the members of split {split!r} ({found}) differ from those of"
            f" {run.split!r}; leave out unfinished runs."
        )
    return other


def require_same_objects(found: Sequence[StoredRun]) -> None:
    """Raise DataError if runs were scored on different objects, so that their predictions cannot be combined."""
    first = found[0]
    for run in found:
        if run.digest != first.digest:
            raise DataError(
                f"trials {first.trial} and {run.trial} were scored on different {run.split} objects (data set,"
                " train_images, validation or split_seed differ), so their predictions cannot be combined."
            )
