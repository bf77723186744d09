"""What is declared of a data set: its columns, its files, its numbers, and where it can be had from."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import pyarrow as pa


@dataclass(frozen=True)
class Column:
    """One column of every table of a data set; where cells may be empty (`nullable`), `doc` says what that means."""

    name: str
    type: pa.DataType
    doc: str
    nullable: bool = False


@dataclass(frozen=True)
class File:
    """One file of a data set, `path` below the data set's folder.

    Args:
        path: as it is written uncompressed; `path + ".gz"` is taken too where `gzipped`.
        size_bytes: as distributed, for the listing.
        split: the split that the whole file is; None where a column says it, or where there are none.
        sha256: of the (uncompressed) content, "" where it is not known.
        md5: the same; for sources that publish nothing better.
        gzipped: whether the compressed form is read as well.
        folder: whether it is a folder of pictures, none of which is opened before it is needed.
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
    """Shape of the images, and the usual mean and standard deviation of each channel, in units of full scale (0..1)."""

    channels: int
    height: int
    width: int
    mean: tuple[float, ...]
    std: tuple[float, ...]


@dataclass(frozen=True)
class Download:
    """One file of a public source: mirrors in order of trying; `checksum` is "md5:..", "sha256:.." or "" for none."""

    path: str
    urls: tuple[str, ...]
    checksum: str = ""


@dataclass(frozen=True)
class Source:
    """Where a data set can be fetched.

    Args:
        downloads: what to get.
        build: makes the data set's files in its second argument from the downloads in its first;
            None where the downloads are the files.
    """

    downloads: tuple[Download, ...]
    build: Callable[[Path, Path], None] | None = None


Reader = Callable[["DataSet", Mapping[str, Path]], dict[str, pa.Table]]


@dataclass(frozen=True)
class DataSet:
    """One data set under one name; a full set and its embedded sample are two of them.

    Args:
        name: what `load` takes.
        doc: what it is, and what must be known before its numbers are compared with anyone's.
        licence: as the source states it.
        obtain: where it comes from, for those who have to ask for it.
        columns: of every split, in order.
        splits: rows by split name; {"all": n} where there are no splits.
        files: all that must be there.
        read: makes the tables, given where each of `files` lies.
        folder: the sub-folder of a data folder.
        embedded: whether the files are inside the package.
        sample: name of the embedded sample of a full set.
        constants: columns that the files leave out because they are the same in every row.
        classes: names of the labels 0, 1, ..
        pixels: for image classification.
        fingerprint: of the tables, "" where it is not known.
        source: where `fetch` gets it, None where no stable public address exists.
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
        """Of its files as distributed."""
        return sum(file.size_bytes for file in self.files)
