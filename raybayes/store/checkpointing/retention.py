"""Which checkpoints a sweep keeps: retention is a property of the sweep, and not of the trial."""

from __future__ import annotations

import itertools
from collections.abc import Collection, Sequence

from raybayes.store.checkpointing import checkpoints
from raybayes.store.checkpointing.checkpoints import CheckpointRef
from raybayes.store.layout import Layout

Key = tuple[int, int, int]  # trial, repeat, step
UNFINISHED_KEEP = 2


def to_delete(
    present: Collection[Key], unfinished: Collection[int], ranking: Sequence[int], keep_best: int
) -> list[Key]:
    """Which checkpoints a sweep no longer needs, sorted.

    Of every unfinished trial the two newest steps are kept: one to resume from, and the one before for the case that it
    is damaged. Of the best `keep_best` finished trials the newest step is kept, as a result. A trial keeps all its
    repeats. Everything else goes.

    Args:
        present: (trial, repeat, step) of every checkpoint.
        unfinished: trials that run, wait, or are paused.
        ranking: finished trials worth keeping, best first; those that failed or were pruned need not be in it.
        keep_best: how many of the ranking keep their newest step.
    """
    kept: set[Key] = set()
    results = set(ranking[:keep_best])
    for (trial, _), group in itertools.groupby(sorted(present), key=lambda key: key[:2]):
        count = UNFINISHED_KEEP if trial in unfinished else int(trial in results)
        kept |= set(list(group)[-count:]) if count else set()
    return sorted(set(present) - kept)


def retain(layout: Layout, unfinished: Collection[int], ranking: Sequence[int], keep_best: int) -> list[Key]:
    """Delete what `to_delete` names, and return it.

    A checkpoint with a missing or short file does not count as the newest, so the one before it stays.
    """
    present = [
        (trial, repeat, step)
        for trial, repeat in checkpoints.trials(layout)
        for step in checkpoints.steps(layout, trial, repeat)
    ]
    whole = [key for key in present if isinstance(checkpoints.look(layout, *key), CheckpointRef)]
    wanted = set(unfinished) | set(ranking[:keep_best])
    broken = [key for key in present if key not in whole and key[0] not in wanted]
    doomed = sorted([*to_delete(whole, unfinished, ranking, keep_best), *broken])
    for key in doomed:
        checkpoints.delete(layout, *key)
    return doomed


def holders(layout: Layout) -> set[int]:
    """Numbers of the trials that have a folder of checkpoints."""
    return {trial for trial, _ in checkpoints.trials(layout)}
