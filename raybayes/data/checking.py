"""Compares files with what is declared of their data set, and lists all data sets."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from raybayes.data.digest import fingerprint
from raybayes.data.loading import load, origin
from raybayes.data.places import Origin, locate, places
from raybayes.data.records import DataSet, File
from raybayes.data.registry.catalogue import DATA_SETS
from raybayes.errors import DataError

MISSING = "missing"


@dataclass(frozen=True)
class CheckedFile:
    """One file: its path, size on disk, SHA-256 of its content, and whether that is the published one.

    `as_published` is None if no hash is published; a folder's `sha256` is "". A file that differs may still hold the
    same rows (with another compression, for example): the fingerprint of the tables decides.
    """

    path: Path
    size_bytes: int
    sha256: str
    as_published: bool | None


@dataclass(frozen=True)
class Check:
    """The result of `check`; `problems` is empty if everything is as declared.

    Args:
        rows: by split.
        columns: type by name.
        fingerprint: of the tables; "" if they cannot be read.
        problems: one sentence each.
    """

    name: str
    origin: Origin
    rows: Mapping[str, int]
    columns: Mapping[str, str]
    files: tuple[CheckedFile, ...]
    fingerprint: str
    problems: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return not self.problems

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files)


@dataclass(frozen=True)
class Listed:
    """One line of `listing`: declared rows and size; `where` is "missing", "embedded" or a folder."""

    name: str
    doc: str
    rows: int
    size_bytes: int
    where: str
    licence: str


def check(name: str, data_dir: str | None = None) -> Check:
    """Read a data set, or a Parquet file given by its path, and compare it with what is declared.

    Raises:
        DataError: unknown name, or not found. Problems of existing files are in the result.
    """
    found = origin(name, data_dir)
    problems: list[str] = []
    try:
        tables = load(name, data_dir)
    except DataError as error:
        problems.append(str(error))
        tables = {}
    digest = fingerprint(tables) if tables else ""
    dataset = DATA_SETS.get(name)
    declared = {} if dataset is None else {file.path: file for file in dataset.files}
    files = tuple(_checked(path, declared.get(key)) for key, path in found.files.items())
    if tables and dataset is not None:
        problems += _differences(dataset, tables, digest, files)
    schema = next(iter(tables.values())).schema if tables else pa.schema([])
    return Check(
        name,
        found,
        {split: table.num_rows for split, table in tables.items()},
        {field.name: str(field.type) for field in schema},
        files,
        digest,
        tuple(problems),
    )


def listing(data_dir: str | None = None) -> list[Listed]:
    """All data sets and where they are; reads no file.

    Raises:
        DataError: `data_dir` is not a folder.
    """
    return [
        Listed(dataset.name, dataset.doc, dataset.rows, dataset.size_bytes, _where(dataset, data_dir), dataset.licence)
        for dataset in DATA_SETS.values()
    ]


def require_known(dataset: DataSet, tables: Mapping[str, pa.Table]) -> None:
    """DataError if the tables differ from the declared ones in any row."""
    if problems := _differences(dataset, tables, fingerprint(tables), ()):
        raise DataError(" ".join(problems))


def _where(dataset: DataSet, data_dir: str | None) -> str:
    if dataset.embedded:
        return "embedded"
    places(data_dir)  # a wrong data folder is the user's mistake, and not a missing data set
    try:
        return str(locate(dataset, data_dir))
    except DataError:
        return MISSING


def _differences(
    dataset: DataSet, tables: Mapping[str, pa.Table], digest: str, files: tuple[CheckedFile, ...]
) -> list[str]:
    problems = []
    for split, wanted in dataset.splits.items():
        if (found := tables[split].num_rows) != wanted:
            problems.append(f"split {split!r} of {dataset.name!r} has {found:,} rows, wanted {wanted:,}.")
    if extra := [split for split in tables if split not in dataset.splits]:
        allowed = ", ".join(dataset.splits)
        problems.append(
            f"{dataset.name!r} has the split {extra[0]!r}, which is not declared; declared splits: {allowed}."
        )
    changed = [str(file.path) for file in files if file.as_published is False]
    if dataset.fingerprint and digest != dataset.fingerprint and not problems:
        problems.append(
            f"the rows of {dataset.name!r} are not those published: fingerprint {digest[:16]}, "
            f"wanted {dataset.fingerprint[:16]}" + (f" (changed: {', '.join(changed)})." if changed else ".")
        )
    elif bare := [path for path in changed if not path.endswith(".parquet")]:
        # Parquet can hold the same rows in other bytes; other formats cannot, and hold more than the rows.
        problems.append(f"{bare[0]} is not the published file; replace it.")
    return problems


def _checked(path: Path, declared: File | None) -> CheckedFile:
    if path.is_dir():
        return CheckedFile(path, sum(file.stat().st_size for file in path.rglob("*") if file.is_file()), "", None)
    content = path.read_bytes()
    if path.suffix == ".gz":
        # A damaged file was reported when its tables were read; show its hash all the same.
        with contextlib.suppress(OSError, EOFError, zlib.error):
            content = gzip.decompress(content)
    sha256 = hashlib.sha256(content).hexdigest()
    as_published: bool | None = None
    if declared is not None and declared.sha256:
        as_published = sha256 == declared.sha256
    elif declared is not None and declared.md5:
        as_published = hashlib.md5(content, usedforsecurity=False).hexdigest() == declared.md5
    return CheckedFile(path, path.stat().st_size, sha256, as_published)
