"""The manifest of a checkpoint: its files with their hashes, the run that wrote it, and whether all is as it says."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from raybayes.errors import StoreError
from raybayes.store.checkpointing.owner import Owner
from raybayes.store.layout import Layout
from raybayes.store.schema import require_readable

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class FileRecord:
    """The file of one rank: its name in the checkpoint's folder, bytes, and hash in hex."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class CheckpointRef:
    """A published checkpoint: `files` in rank order, `time` of its publication (Unix epoch), digest of its `Owner`."""

    layout: Layout
    trial: int
    repeat: int
    step: int
    world_size: int
    time: float
    files: tuple[FileRecord, ...]
    digest: str | None = None
    config: Mapping[str, Any] | None = None

    @property
    def path(self) -> str:
        """Its folder, relative to the sweep's storage."""
        return self.layout.checkpoint(self.trial, self.repeat, self.step)

    @property
    def size(self) -> int:
        """Bytes of all ranks."""
        return sum(file.size for file in self.files)


def is_foreign(layout: Layout, trial: int, repeat: int, step: int, owner: Owner | None = None) -> bool:
    """Whether there is a checkpoint that another run wrote: it does not belong here, and is not ours to delete."""
    try:
        manifest = json.loads(layout.storage.read_bytes(f"{layout.checkpoint(trial, repeat, step)}/{MANIFEST}"))
        return (manifest["trial"], manifest["repeat"]) != (trial, repeat) or _of_another(manifest, owner)
    except (ValueError, KeyError, TypeError, StoreError):  # there is none, or it is damaged
        return False


def _of_another(manifest: Mapping[str, Any], owner: Owner | None) -> bool:
    """Whether a manifest names another run than `owner`; those of before manifests named one count as the owner's."""
    return owner is not None and manifest.get("digest") not in (None, owner.digest)


def inspect_checkpoint(
    layout: Layout, trial: int, repeat: int, step: int, owner: Owner | None = None
) -> CheckpointRef | str:
    """The checkpoint from its manifest, with file sizes compared, or what is wrong with it."""
    storage, folder = layout.storage, layout.checkpoint(trial, repeat, step)
    try:
        manifest = json.loads(storage.read_bytes(f"{folder}/{MANIFEST}"))
        files = tuple(FileRecord(entry["name"], entry["size"], entry["sha256"]) for entry in manifest["files"])
        ref = CheckpointRef(
            layout,
            manifest["trial"],
            manifest["repeat"],
            manifest["step"],
            manifest["world_size"],
            manifest["time"],
            files,
            manifest.get("digest"),
            manifest.get("config"),
        )
    except (ValueError, KeyError, TypeError, StoreError) as error:
        return f"its manifest cannot be read ({type(error).__name__}: {error})"
    require_readable(storage.display_path(f"{folder}/{MANIFEST}"), manifest.get("schema"))
    if (ref.trial, ref.repeat, ref.step) != (trial, repeat, step):
        return f"its manifest is that of trial {ref.trial}, repeat {ref.repeat}, step {ref.step}"
    if _of_another(manifest, owner):
        return "another configuration or another sweep has written it"
    sizes = storage.sizes(folder)
    for file in files:
        if sizes.get(file.name) != file.size:
            return f"{file.name} should have {file.size} bytes, found {sizes.get(file.name, 'no such file')}"
    return ref


def wrong_hash(ref: CheckpointRef) -> str | None:
    """Which file differs from its manifest; None if none does."""
    for record in ref.files:
        with ref.layout.storage.reading(f"{ref.path}/{record.name}") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != record.sha256:  # type: ignore[arg-type]
                return f"{record.name} has another hash than when it was written"
    return None
