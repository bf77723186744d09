"""Training states to resume from: one folder per (trial, repeat, step) with one file per rank and a manifest.

Each rank writes its file with `save_rank`; when all have done so, one of them calls `publish`, which makes them a
checkpoint. On a disk the ranks write under a temporary name, which `publish` renames; on an object store the manifest
is written last. So a folder without a manifest is not a checkpoint. A checkpoint with a file whose hash differs from
the manifest is skipped, and a trial resumes from the one before it. A manifest names the run that wrote it (`Owner`):
one of another run, which somebody has copied here, is neither resumed from nor deleted.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import logging
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from typing import IO

from raybayes.clock import WALL, Clock
from raybayes.errors import StoreError
from raybayes.store.checkpointing import states
from raybayes.store.checkpointing.manifests import (
    MANIFEST,
    CheckpointRef,
    FileRecord,
    inspect_checkpoint,
    is_foreign,
    wrong_hash,
)
from raybayes.store.checkpointing.owner import Owner
from raybayes.store.checkpointing.states import State
from raybayes.store.layout import Layout
from raybayes.store.schema import SCHEMA

_LOG = logging.getLogger("raybayes.store")
_TRIAL = re.compile(r"(\d{5,})(?:-r([1-9]\d*))?")
_STEP = re.compile(r"\d{8,}")
_PART = 4 * 2**20  # bytes
_LEFT_OVER = re.compile(r"\.(\d{8,})\.(part|replaced)")


def save_rank(layout: Layout, trial: int, repeat: int, step: int, rank: int, state: State) -> FileRecord:
    """Write the state of one rank; it becomes part of a checkpoint by `publish`.

    Args:
        state: mappings, lists, tuples and sets of tensors, numbers, strings, bytes, booleans and None.
            A generator's state (`generator.get_state()`) is a tensor.

    Raises:
        StoreError: the state holds something else (the message says where and what), or the storage cannot be
            written.
    """
    _require_plain(trial, step, state)
    name = f"rank-{rank}.pt"
    with layout.storage.writing(f"{layout.unpublished(trial, repeat, step)}/{name}") as file:
        size, sha256 = states.dump(state, file)
    return FileRecord(name, size, sha256)


def stage_rank(file: IO[bytes], trial: int, step: int, rank: int, state: State) -> FileRecord:
    """Write the state of one rank into a local file, for `upload_rank`; raises what `save_rank` does."""
    _require_plain(trial, step, state)
    try:
        size, sha256 = states.dump(state, file)
        file.flush()
    except OSError as error:
        raise StoreError(
            f"{tempfile.gettempdir()}: cannot hold a copy of the state: {error.strerror}; free some space, or set "
            "TMPDIR to another folder."
        ) from error
    return FileRecord(f"rank-{rank}.pt", size, sha256)


def upload_rank(
    layout: Layout, trial: int, repeat: int, step: int, name: str, staged: IO[bytes], check_continue: Callable[[], None]
) -> None:
    """Copy a staged file to where `save_rank` would write it.

    Args:
        check_continue: called between parts of the copy; what it raises stops the copy, and nothing appears.
    """
    staged.seek(0)
    with layout.storage.writing(f"{layout.unpublished(trial, repeat, step)}/{name}") as target:
        while part := staged.read(_PART):
            check_continue()
            target.write(part)


def discard_unpublished(layout: Layout, trial: int, repeat: int, step: int) -> None:
    """Delete the files of a checkpoint that will not be published."""
    if layout.storage.local or not layout.storage.exists(f"{layout.checkpoint(trial, repeat, step)}/{MANIFEST}"):
        layout.storage.delete(layout.unpublished(trial, repeat, step))


def _require_plain(trial: int, step: int, state: State) -> None:
    if problem := states.find_unsupported(state):
        raise StoreError(
            f"trial {trial}, step {step}: {problem}, which a checkpoint cannot hold; "
            "use tensors, numbers, strings, and mappings, lists or tuples of them."
        )


def publish(
    layout: Layout,
    trial: int,
    repeat: int,
    step: int,
    records: Sequence[FileRecord],
    world_size: int,
    clock: Clock = WALL,
    owner: Owner | None = None,
) -> None:
    """Make the files of all ranks one checkpoint, which replaces one of the same step.

    Args:
        owner: the run that wrote it.

    Raises:
        StoreError: the records are not those of ranks 0 .. world_size - 1, or the storage cannot be written.
    """
    wanted = [f"rank-{rank}.pt" for rank in range(world_size)]
    files = {record.name: record for record in records}
    if len(records) != world_size or set(files) != set(wanted):
        raise StoreError(
            f"trial {trial}, step {step}: a checkpoint of {world_size} ranks needs {', '.join(wanted)}, "
            f"found {', '.join(sorted(files)) or 'nothing'}; save every rank before you publish it."
        )
    manifest = {
        "schema": SCHEMA, "trial": trial, "repeat": repeat, "step": step, "world_size": world_size,
        "time": clock.now(), "files": [asdict(files[name]) for name in wanted],
        **({} if owner is None else {"digest": owner.digest, "config": owner.described}),
    }  # fmt: skip
    folder, storage = layout.unpublished(trial, repeat, step), layout.storage
    for name in storage.list(folder):  # of a failed attempt with more ranks
        if name not in files and name != MANIFEST:
            storage.delete(f"{folder}/{name}")
    storage.write_bytes(f"{folder}/{MANIFEST}", json.dumps(manifest, indent=1).encode())
    if storage.local:
        _put_in_place(layout, trial, repeat, step, owner)


def _put_in_place(layout: Layout, trial: int, repeat: int, step: int, owner: Owner | None) -> None:
    storage, target = layout.storage, layout.checkpoint(trial, repeat, step)
    replaced = f"{layout.trial(trial, repeat)}/.{step:08d}.replaced"
    if is_foreign(layout, trial, repeat, step, owner):
        names = (f"{layout.trial(trial, repeat)}/.{step:08d}.foreign-{number}" for number in itertools.count(1))
        storage.rename(target, next(name for name in names if not storage.exists(name)))
    if storage.exists(target):  # a folder cannot replace another by a rename
        storage.delete(replaced)
        storage.rename(target, replaced)
    storage.rename(layout.unpublished(trial, repeat, step), target)
    storage.delete(replaced)


def list_steps(layout: Layout, trial: int, repeat: int) -> list[int]:
    """The steps of the trial's published checkpoints, ascending; does not verify their hashes."""
    found = [int(name) for name in layout.storage.list(layout.trial(trial, repeat)) if _STEP.fullmatch(name)]
    return sorted(s for s in found if layout.storage.exists(f"{layout.checkpoint(trial, repeat, s)}/{MANIFEST}"))


def find_newest(layout: Layout, trial: int, repeat: int, owner: Owner | None = None) -> CheckpointRef | None:
    """The newest checkpoint whose files match their manifest, or None.

    A damaged one, and one of another run than `owner`, is skipped, with a warning in the log "raybayes.store".

    Raises:
        StoreError: a newer raybayes wrote the newest checkpoint.
    """
    for step in reversed(list_steps(layout, trial, repeat)):
        ref = inspect_checkpoint(layout, trial, repeat, step, owner)
        problem = ref if isinstance(ref, str) else wrong_hash(ref)
        if problem is None and isinstance(ref, CheckpointRef):
            return ref
        shown = layout.storage.display_path(layout.checkpoint(trial, repeat, step))
        _LOG.warning("%s: this checkpoint is skipped: %s; the one before it is used.", shown, problem)
    return None


def copy_checkpoint(ref: CheckpointRef, trial: int, repeat: int, owner: Owner | None = None) -> None:
    """Copy a checkpoint to another trial, at the same step; that trial, the `owner`, starts from there."""
    layout, source = ref.layout, ref.layout.checkpoint(ref.trial, ref.repeat, ref.step)
    for record in ref.files:
        data = layout.storage.read_bytes(f"{source}/{record.name}")
        layout.storage.write_bytes(f"{layout.unpublished(trial, repeat, ref.step)}/{record.name}", data)
    publish(layout, trial, repeat, ref.step, ref.files, ref.world_size, owner=owner)


def load(ref: CheckpointRef) -> list[State]:
    """The states of all ranks, in rank order, tensors on the CPU.

    Raises:
        StoreError: a file is missing or damaged, or holds a type that a checkpoint cannot hold.
    """
    loaded = []
    for record in ref.files:
        path = f"{ref.path}/{record.name}"
        with ref.layout.storage.reading(path) as file:
            loaded.append(states.load(file, ref.layout.storage.display_path(path)))
    return loaded


def delete(layout: Layout, trial: int, repeat: int, step: int) -> None:
    """Delete a checkpoint, its manifest first: an incomplete one is not a checkpoint."""
    folder = layout.checkpoint(trial, repeat, step)
    layout.storage.delete(f"{folder}/{MANIFEST}")
    layout.storage.delete(folder)
    if layout.storage.local:
        with contextlib.suppress(OSError):  # it has other steps
            os.rmdir(layout.storage.local_path(layout.trial(trial, repeat)))


def remove_stale_parts(layout: Layout) -> list[str]:
    """Delete the incomplete checkpoints of dead bursts, and return their folders.

    Only the holder of the sweep's lock may call it, before its first trial starts.
    """
    removed = []
    for trial, repeat in list_trials(layout):
        home = layout.trial(trial, repeat)
        for name in layout.storage.list(home):
            path = f"{home}/{name}"
            left_over = _LEFT_OVER.fullmatch(name)
            if left_over and left_over[2] == "replaced" and not layout.storage.exists(f"{home}/{left_over[1]}"):
                layout.storage.rename(path, f"{home}/{left_over[1]}")  # its replacement was never published
            elif left_over or (_STEP.fullmatch(name) and not layout.storage.exists(f"{path}/{MANIFEST}")):
                layout.storage.delete(path)
                removed.append(path)
    return removed


def total_bytes(layout: Layout) -> int:
    """Bytes of all checkpoints of the sweep."""
    return sum(layout.storage.sizes(layout.checkpoints).values())


def list_trials(layout: Layout) -> Iterator[tuple[int, int]]:
    """(trial, repeat) of every folder with checkpoints."""
    for name in layout.storage.list(layout.checkpoints):
        if match := _TRIAL.fullmatch(name):
            yield int(match[1]), int(match[2] or 0)
