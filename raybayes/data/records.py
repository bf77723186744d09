"""What is declared of a data set: its columns, files, sizes, and sources."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa


@dataclass(frozen=True)
class Column:
    """One column of a data set's tables; if cells may be empty (`nullable`), `doc` says what that means."""

    name: str
    type: pa.DataType
    doc: str
    nullable: bool = False


@dataclass(frozen=True)
class File:
    """One file of a data set, `path` below the data set's folder.

    Args:
        path: of the uncompressed file; if `gzipped`, `path + ".gz"` is accepted too.
        size_bytes: as distributed.
        split: the split that the file holds; None if a column names it, or if there are no splits.
        sha256: of the (uncompressed) content; "" if unknown.
        md5: likewise, for sources that publish no SHA-256.
        gzipped: whether the compressed file is read too.
        folder: whether it is a folder of pictures, each opened when it is needed.
    """

    path: str
    size_bytes: int = 0
    split: str | None = None
    sha256: str = ""
    md5: str = ""
    gzipped: bool = False
    folder: bool = False

    def alternatives(self) -> tuple[str, ...]:
        return (self.path, self.path + ".gz") if self.gzipped else (self.path,)


@dataclass(frozen=True)
class Pixels:
    """Shape of the images, and the usual mean and standard deviation per channel, in units of full scale (0..1)."""

    channels: int
    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Download:
    """One file of a public source: mirrors in order; `checksum` is "md5:..", "sha256:.." or "" for none."""

    path: str
    urls: tuple[str, ...]
    checksum: str = ""


@dataclass(frozen=True)
class Source:
    """The public source of a data set.

    Args:
        downloads: the files to download.
        build: makes the data set's files in its second argument (a folder) from the downloads in its first;
            None if the downloads are the files.
    """

    downloads: tuple[Download, ...]
    build: Callable[[Path, Path], None] | None = None


Reader = Callable[["DataSet", Mapping[str, Path]], dict[str, pa.Table]]


@dataclass(frozen=True)
class DataSet:
    """One data set; a full set and its embedded sample are two data sets.

    Args:
        name: for `load`.
        doc: what it is, and what matters for comparisons with published results.
        licence: as the source states it.
        obtain: where it comes from, for users who must request it.
        columns: of each split, in order.
        splits: rows by split name; {"all": n} without splits.
        files: all are required.
        read: makes the tables from the paths of `files`.
        folder: its sub-folder in a data folder.
        embedded: whether the files are inside the package.
        sample: name of the embedded sample of a full set.
        constants: columns that the files omit because they are equal in all rows.
        classes: names of the labels 0, 1, ..
        pixels: for image classification.
        fingerprint: of the tables; "" if unknown.
        source: for `fetch`; None without a stable public address.
    """

    name: str
    doc: str
    licence: str
    obtain: str
    columns: tuple[Column, ...]
    splits: Mapping[str, int]
    files: tuple[File, ...]
    read: Reader
    folder: str = ""
    embedded: bool = False
    sample: str | None = None
    constants: Mapping[str, object] = field(default_factory=lambda: MappingProxyType({}))
    classes: tuple[str, ...] = ()
    pixels: Pixels | None = None
    fingerprint: str = ""
    source: Source | None = None

    @property
    def rows(self) -> int:
        return sum(self.splits.values())

    @property
    def size_bytes(self) -> int:
        """Size of its files as distributed."""
        return sum(file.size_bytes for file in self.files)
