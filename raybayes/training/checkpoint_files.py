"""A framework's checkpoint, a file or a folder, as a state that the sweep stores, and back."""

from __future__ import annotations

import io
import tarfile
from pathlib import Path

from raybayes.contract import State


def pack_file(path: Path) -> State:
    """A state that holds a file, or a folder with all that is in it."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as archive:
        archive.add(path, arcname=path.name)
    return {"name": path.name, "archive": content.getvalue()}


def unpack(state: State, folder: Path) -> Path:
    """Write the file or folder of a state into `folder`; its path there."""
    with tarfile.open(fileobj=io.BytesIO(state["archive"])) as archive:
        archive.extractall(folder, filter="data")
    return folder / str(state["name"])
