"""Selects and deletes the checkpoints that a sweep no longer needs."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Collection, Sequence

from raybayes.store.checkpointing import checkpoints
from raybayes.store.checkpointing.manifests import CheckpointRef, inspect_checkpoint, is_foreign
from raybayes.store.checkpointing.owner import Owner
from raybayes.store.layout import Layout

Key = tuple[int, int, int]  # trial, repeat, step
UNFINISHED_KEEP = 2


def select_deletable(
    present: Collection[Key], unfinished: Collection[int], ranking: Sequence[int], keep_best: int
) -> list[Key]:
    """The checkpoints that a sweep no longer needs, sorted.

    An unfinished trial keeps its two newest steps: one to resume from, and the one before in case that is damaged. The
    best `keep_best` finished trials keep their newest step, as a result. A trial keeps all its repeats. All others are
    deletable.

    Args:
        present: (trial, repeat, step) of every checkpoint.
        unfinished: trials that are running, waiting or paused.
        ranking: finished trials, best first; failed and pruned ones may be left out.
        keep_best: number of trials of the ranking that keep their newest step.
    """
    kept: set[Key] = set()
    results = set(ranking[:keep_best])
    for (trial, _), group in itertools.groupby(sorted(present), key=lambda key: key[:2]):
        count = UNFINISHED_KEEP if trial in unfinished else int(trial in results)
        kept |= set(list(group)[-count:]) if count else set()
    return sorted(set(present) - kept)


def delete_surplus(
    layout: Layout,
    unfinished: Collection[int],
    ranking: Sequence[int],
    keep_best: int,
    owner_of: Callable[[int], Owner | None] = lambda trial: None,
) -> list[Key]:
    """Delete what `select_deletable` selects, and return it.

    A checkpoint with a missing or short file does not count as the newest, so the one before it is kept. One of another
    run counts for nothing, and stays.

    Args:
        owner_of: the run of a trial, to know its checkpoints by.
    """
    present = [
        (trial, repeat, step)
        for trial, repeat in checkpoints.list_trials(layout)
        for step in checkpoints.list_steps(layout, trial, repeat)
        if not is_foreign(layout, trial, repeat, step, owner_of(trial))
    ]
    whole = [key for key in present if isinstance(inspect_checkpoint(layout, *key), CheckpointRef)]
    wanted = set(unfinished) | set(ranking[:keep_best])
    broken = [key for key in present if key not in whole and key[0] not in wanted]
    doomed = sorted([*select_deletable(whole, unfinished, ranking, keep_best), *broken])
    for key in doomed:
        checkpoints.delete(layout, *key)
    return doomed


def list_trials_with_checkpoints(layout: Layout) -> set[int]:
    """Numbers of the trials that have checkpoints."""
    return {trial for trial, _ in checkpoints.list_trials(layout)}
