"""The storage of results: a folder on a disk, or a prefix in an object store, with the same few operations.

Files on a disk appear complete or not at all (temporary name, fsync, rename); on an object store an object exists only
once its upload is complete. Nothing here uses file locks, so it works on NFS and Lustre.
"""

from __future__ import annotations

import contextlib
import errno
import io
import os
import re
import shutil
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, BinaryIO
from urllib.parse import urlsplit

import pyarrow as pa
from pyarrow import fs as pafs

from raybayes.errors import StoreError

Names = list[str]  # `Storage.list` would hide the builtin from the annotations of its own class
TEMPORARY = re.compile(r"\.(.+)\.[0-9a-f]{32}\.tmp")

_HINTS = {
    errno.ENOSPC: "free some space, or choose another --storage",
    errno.EDQUOT: "free some of your quota, or choose another --storage",
    errno.EACCES: "ask for the right to use this folder, or choose another --storage",
    errno.EPERM: "ask for the right to use this folder, or choose another --storage",
    errno.EROFS: "choose a --storage on a disk that is mounted for writing",
    errno.ENOTDIR: "a part of this path is a file; choose another --storage",
}


@dataclass(frozen=True)
class Storage:
    """A folder of a file system. Every path given to its methods is relative to `root` and uses `/`.

    It can be pickled (workers receive it) if its file system can.

    Args:
        fs: the file system.
        root: the folder inside `fs`; absolute where `fs` is the local disk.
        local: whether `root` is a path of this machine (a disk, NFS, Lustre).
        display: what users read: the path as they gave it, or the URI without credentials.
    """

    fs: pafs.FileSystem
    root: str
    local: bool
    display: str = ""

    def __post_init__(self) -> None:
        if not self.display:
            object.__setattr__(self, "display", self.root)

    def child(self, *names: str) -> Storage:
        """The folder below this one. Raises StoreError for an empty or climbing name."""
        storage = self
        for name in names:
            if not name or name.startswith("/") or ".." in name.split("/"):
                raise StoreError(f"{name!r} is not a folder name below {self.display}; use a plain name without '..'.")
            storage = Storage(self.fs, storage.full_path(name), self.local, storage.display_path(name))
        return storage

    def full_path(self, path: str = "") -> str:
        """The path inside `fs`; on a disk, the absolute path."""
        root = self.root.rstrip("/") or ("/" if self.local else "")
        return f"{root.rstrip('/')}/{path}" if path and root else path or root

    def display_path(self, path: str = "") -> str:
        """The path as users read it."""
        return f"{self.display.rstrip('/')}/{path}" if path else self.display

    def local_path(self, path: str = "") -> Path:
        """The path on this machine. Raises StoreError on an object store."""
        if not self.local:
            raise StoreError(
                f"{self.display_path(path)}: this needs a folder on a disk; choose a --storage that is not a URI."
            )
        return Path(self.full_path(path))

    def writable_path(self, path: str) -> Path:
        """The path on this machine, to be appended to or filled. Raises as `local_path` and `require_unlinked`."""
        self.require_unlinked(path, whole=True)
        return self.local_path(path)

    def require_unlinked(self, path: str, whole: bool = False) -> None:
        """StoreError if a folder on the way to a path is a link: on shared disks, others could have laid it.

        Args:
            whole: whether the last part of the path may not be a link either.
        """
        names = path.split("/") if self.local else []
        for count in range(1, len(names) + whole):
            part = "/".join(names[:count])
            if os.path.islink(self.full_path(part)):
                raise StoreError(
                    f"{self.display_path(part)} is a link, and nothing is written or deleted through a link inside "
                    "of a sweep's folder; put the folder or file itself there, or choose another --storage."
                )

    def exists(self, path: str = "") -> bool:
        """Whether the path is a file or a folder."""
        with self._explained("access", path):
            found = self.fs.get_file_info(self.full_path(path))
        return bool(found.type != pafs.FileType.NotFound)

    def list(self, path: str = "") -> Names:
        """The sorted names directly in a folder; empty if there is no folder."""
        return sorted(info.base_name for info in self._infos(path, recursive=False) if not _hidden_temporary(info))

    def sizes(self, path: str = "") -> dict[str, int]:
        """Bytes of every file below a folder, by path relative to that folder."""
        base = self.full_path(path).strip("/")
        files = (info for info in self._infos(path, recursive=True) if info.type == pafs.FileType.File)
        return {info.path.strip("/").removeprefix(base).lstrip("/"): int(info.size or 0) for info in files}

    def _infos(self, path: str, recursive: bool) -> Sequence[pafs.FileInfo]:
        with self._explained("list", path):
            selector = pafs.FileSelector(self.full_path(path), recursive=recursive, allow_not_found=True)
            return tuple(self.fs.get_file_info(selector))

    @contextlib.contextmanager
    def reading(self, path: str) -> Iterator[IO[bytes]]:
        """A file open for reading and seeking. Raises StoreError if it is missing or unreadable."""
        with self._explained("read", path):
            if self.local:
                with open(self.full_path(path), "rb") as file:
                    yield file
            else:
                with self.fs.open_input_stream(self.full_path(path), compression=None) as stream:
                    data = stream.read()
                yield io.BytesIO(data)

    def read_bytes(self, path: str) -> bytes:
        """The content of a file. Raises StoreError if it is missing or unreadable."""
        with self.reading(path) as file:
            return file.read()

    @contextlib.contextmanager
    def writing(self, path: str) -> Iterator[IO[bytes]]:
        """A file that appears, durable and complete, when the block ends; if the block raises, nothing appears.

        Raises:
            StoreError: the disk is full, the folder is not writable, or the object store is not reachable.
        """
        self.require_unlinked(path)
        with self._explained("write", path):
            if self.local:
                with _atomic(Path(self.full_path(path))) as file:
                    yield file
            else:
                # Buffered first: closing an incomplete upload after an error would publish it.
                buffer = io.BytesIO()
                yield buffer
                self._upload(self.full_path(path), buffer.getvalue())

    def write_bytes(self, path: str, data: bytes) -> None:
        """Write a file in one step: a reader sees the old content or the new one, never a part."""
        with self.writing(path) as file:
            file.write(data)

    def _upload(self, path: str, data: bytes) -> None:
        try:
            stream = self.fs.open_output_stream(path, compression=None)
        except FileNotFoundError:  # some file systems need the folder first, object stores do not
            self.fs.create_dir(path.rpartition("/")[0], recursive=True)
            stream = self.fs.open_output_stream(path, compression=None)
        with stream:
            stream.write(data)

    def delete(self, path: str = "") -> None:
        """Delete a file, or a folder with its content; does nothing if there is neither."""
        self.require_unlinked(path)
        with self._explained("delete", path):
            kind = self.fs.get_file_info(self.full_path(path)).type
            if kind == pafs.FileType.File:
                with contextlib.suppress(FileNotFoundError):
                    self.fs.delete_file(self.full_path(path))
            elif kind == pafs.FileType.Directory and self.local:
                shutil.rmtree(self.full_path(path), ignore_errors=False)
            elif kind == pafs.FileType.Directory:
                self.fs.delete_dir(self.full_path(path))

    def rename(self, source: str, target: str) -> None:
        """Rename a file or a folder on a disk, durably, in one step; the target must not exist."""
        self.require_unlinked(source)
        self.require_unlinked(target)
        with self._explained("rename", source):
            os.rename(self.local_path(source), self.local_path(target))
            sync_folder(self.local_path(target).parent)

    @contextlib.contextmanager
    def _explained(self, action: str, path: str) -> Iterator[None]:
        try:
            yield
        except (OSError, pa.ArrowException) as error:
            raise StoreError(
                f"{self.display_path(path)}: cannot {action} this: {explain(error)}; {advise(error)}."
            ) from error


def open_storage(uri: str) -> Storage:
    """Open the storage that a user names.

    Args:
        uri: a folder ("runs", "~/runs", "/scratch/me/runs", "file:///scratch/me/runs"), or the URI of an object store
            that pyarrow knows ("s3://bucket/x", "gs://...", "abfs://...", "fsspec+<protocol>://...").

    Raises:
        StoreError: the scheme is unknown, or the object store cannot be reached.
    """
    if not uri.strip():
        raise StoreError("the storage is empty; give a folder such as 'runs', or a URI such as s3://bucket/runs.")
    if "://" not in uri:
        root = os.path.abspath(os.path.expanduser(uri))
        return Storage(pafs.LocalFileSystem(), root, True, uri.rstrip("/") or "/")
    try:
        filesystem, root = pafs.FileSystem.from_uri(uri)
    except (OSError, ValueError, ImportError, pa.ArrowException) as error:
        raise StoreError(
            f"{_without_secrets(uri)}: this storage cannot be opened: {explain(error)}; "
            "use a folder, file://, s3://, gs://, abfs://, hdfs:// or fsspec+<protocol>://, "
            "and check bucket, region and credentials."
        ) from error
    local = isinstance(filesystem, pafs.LocalFileSystem)
    return Storage(filesystem, root, local, _without_secrets(uri).rstrip("/"))


@contextlib.contextmanager
def _atomic(path: Path) -> Iterator[BinaryIO]:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in a folder of a disk durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _hidden_temporary(info: pafs.FileInfo) -> bool:
    return TEMPORARY.fullmatch(info.base_name) is not None


def explain(error: BaseException) -> str:
    """Why the storage refused, in words and without a full stop."""
    if isinstance(error, OSError) and error.strerror and error.errno in _HINTS:
        return os.strerror(error.errno) if error.errno != errno.ENOTDIR else error.strerror
    if isinstance(error, FileNotFoundError):
        return "no such file"
    first_line = (str(error).strip().splitlines() or [type(error).__name__])[0]
    return first_line.rstrip(".")


def advise(error: BaseException) -> str:
    """What to do about it."""
    if isinstance(error, FileNotFoundError):
        return "check the path"
    code = error.errno if isinstance(error, OSError) else None
    return _HINTS.get(code or 0, "check that the disk or the object store can be reached")


def _without_secrets(uri: str) -> str:
    parts = urlsplit(uri)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2] if parts.password else parts.netloc}{parts.path}"
