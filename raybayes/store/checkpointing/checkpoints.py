"""Training states to resume from: one folder per (trial, repeat, step) with one file per rank and a manifest.

Each rank writes its file with `save_rank`; when all have done so, one of them calls `publish`, which makes them a
checkpoint. On a disk the ranks write under a temporary name, which `publish` renames; on an object store the manifest
is written last. So a folder without a manifest is not a checkpoint. A checkpoint with a file whose hash differs from
the manifest is skipped, and a trial resumes from the one before it.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import IO

from raybayes.clock import WALL, Clock
from raybayes.errors import StoreError
from raybayes.store.checkpointing import states
from raybayes.store.checkpointing.states import State
from raybayes.store.layout import Layout
from raybayes.store.schema import SCHEMA, require_readable

_LOG = logging.getLogger("raybayes.store")
_MANIFEST = "manifest.json"
_TRIAL = re.compile(r"(\d{5,})(?:-r([1-9]\d*))?")
_STEP = re.compile(r"\d{8,}")
_PART = 4 * 2**20  # bytes
_LEFT_OVER = re.compile(r"\.(\d{8,})\.(part|replaced)")


@dataclass(frozen=True)
class FileRecord:
    """The file of one rank: its name in the checkpoint's folder, bytes, and hash in hex."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class CheckpointRef:
    """A published checkpoint: `files` in rank order, `time` of its publication (Unix epoch)."""

    layout: Layout
    trial: int
    repeat: int
    step: int
    world_size: int
    time: float
    files: tuple[FileRecord, ...]

    @property
    def path(self) -> str:
        """Its folder, relative to the sweep's storage."""
        return self.layout.checkpoint(self.trial, self.repeat, self.step)

    @property
    def size(self) -> int:
        """Bytes of all ranks."""
        return sum(file.size for file in self.files)


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
    if layout.storage.local or not layout.storage.exists(f"{layout.checkpoint(trial, repeat, step)}/{_MANIFEST}"):
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
) -> None:
    """Make the files of all ranks one checkpoint, which replaces one of the same step.

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
    }  # fmt: skip
    folder, storage = layout.unpublished(trial, repeat, step), layout.storage
    for name in storage.list(folder):  # of a failed attempt with more ranks
        if name not in files and name != _MANIFEST:
            storage.delete(f"{folder}/{name}")
    storage.write_bytes(f"{folder}/{_MANIFEST}", json.dumps(manifest, indent=1).encode())
    if storage.local:
        _put_in_place(layout, trial, repeat, step)


def _put_in_place(layout: Layout, trial: int, repeat: int, step: int) -> None:
    storage, target = layout.storage, layout.checkpoint(trial, repeat, step)
    replaced = f"{layout.trial(trial, repeat)}/.{step:08d}.replaced"
    if storage.exists(target):  # a folder cannot replace another by a rename
        storage.delete(replaced)
        storage.rename(target, replaced)
    storage.rename(layout.unpublished(trial, repeat, step), target)
    storage.delete(replaced)


def list_steps(layout: Layout, trial: int, repeat: int) -> list[int]:
    """The steps of the trial's published checkpoints, ascending; does not verify their hashes."""
    found = [int(name) for name in layout.storage.list(layout.trial(trial, repeat)) if _STEP.fullmatch(name)]
    return sorted(s for s in found if layout.storage.exists(f"{layout.checkpoint(trial, repeat, s)}/{_MANIFEST}"))


def find_newest(layout: Layout, trial: int, repeat: int) -> CheckpointRef | None:
    """The newest checkpoint whose files match their manifest, or None.

    A damaged one is skipped, with a warning in the log "raybayes.store".

    Raises:
        StoreError: a newer raybayes wrote the newest checkpoint.
    """
    for step in reversed(list_steps(layout, trial, repeat)):
        ref = inspect_checkpoint(layout, trial, repeat, step)
        problem = ref if isinstance(ref, str) else _wrong_hash(ref)
        if problem is None and isinstance(ref, CheckpointRef):
            return ref
        shown = layout.storage.display_path(layout.checkpoint(trial, repeat, step))
        _LOG.warning("%s: this checkpoint is damaged and skipped: %s; the one before it is used.", shown, problem)
    return None


def copy_checkpoint(ref: CheckpointRef, trial: int, repeat: int) -> None:
    """Copy a checkpoint to another trial, at the same step; that trial starts from there."""
    layout, source = ref.layout, ref.layout.checkpoint(ref.trial, ref.repeat, ref.step)
    for record in ref.files:
        data = layout.storage.read_bytes(f"{source}/{record.name}")
        layout.storage.write_bytes(f"{layout.unpublished(trial, repeat, ref.step)}/{record.name}", data)
    publish(layout, trial, repeat, ref.step, ref.files, ref.world_size)


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
    layout.storage.delete(f"{folder}/{_MANIFEST}")
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
            elif left_over or (_STEP.fullmatch(name) and not layout.storage.exists(f"{path}/{_MANIFEST}")):
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


def inspect_checkpoint(layout: Layout, trial: int, repeat: int, step: int) -> CheckpointRef | str:
    """The checkpoint from its manifest, with file sizes compared, or what is wrong with it."""
    storage, folder = layout.storage, layout.checkpoint(trial, repeat, step)
    try:
        manifest = json.loads(storage.read_bytes(f"{folder}/{_MANIFEST}"))
        files = tuple(FileRecord(entry["name"], entry["size"], entry["sha256"]) for entry in manifest["files"])
        ref = CheckpointRef(
            layout,
            manifest["trial"],
            manifest["repeat"],
            manifest["step"],
            manifest["world_size"],
            manifest["time"],
            files,
        )
    except (ValueError, KeyError, TypeError, StoreError) as error:
        return f"its manifest cannot be read ({type(error).__name__}: {error})"
    require_readable(storage.display_path(f"{folder}/{_MANIFEST}"), manifest.get("schema"))
    if (ref.trial, ref.repeat, ref.step) != (trial, repeat, step):
        return f"its manifest is that of trial {ref.trial}, repeat {ref.repeat}, step {ref.step}"
    sizes = storage.sizes(folder)
    for file in files:
        if sizes.get(file.name) != file.size:
            return f"{file.name} should have {file.size} bytes, found {sizes.get(file.name, 'no such file')}"
    return ref


def _wrong_hash(ref: CheckpointRef) -> str | None:
    for record in ref.files:
        with ref.layout.storage.reading(f"{ref.path}/{record.name}") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != record.sha256:  # type: ignore[arg-type]
                return f"{record.name} has another hash than when it was written"
    return None
