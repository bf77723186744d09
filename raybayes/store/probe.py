"""Whether a storage can be written, found out before cluster time is spent."""

from __future__ import annotations

import errno
import os
import uuid
from pathlib import Path

from raybayes.errors import StoreError
from raybayes.store.filesystem import Storage, advise, explain


def require_writable(storage: Storage) -> None:
    """StoreError if the storage cannot be written: writes a small file, and deletes it, before cluster time is spent.

    Raises:
        StoreError: with the storage, the reason, and what to do.
    """
    probe = f".raybayes-probe-{uuid.uuid4().hex}"
    if storage.local:
        _probe_disk(storage, probe)
        return
    existed = storage.exists()
    storage.write_bytes(probe, b"raybayes")
    storage.delete(probe)
    if not existed and not storage.list():  # some object stores leave an empty folder
        storage.delete()


def _probe_disk(storage: Storage, probe: str) -> None:
    # The folder may not exist yet; it can be created if its nearest ancestor is writable.
    folder = Path(storage.root)
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        if not folder.is_dir():
            raise NotADirectoryError(errno.ENOTDIR, f"{folder} is a file")
        try:
            with open(folder / probe, "xb") as file:
                file.write(b"raybayes")
                file.flush()
                os.fsync(file.fileno())
        finally:
            (folder / probe).unlink(missing_ok=True)
    except OSError as error:
        raise StoreError(f"{storage.display}: cannot write here: {explain(error)}; {advise(error)}.") from error
