"""The folders of data sets: `--data`, `RAYBAYES_DATA`, the user's cache; samples are inside the package."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from raybayes.data.records import DataSet, File
from raybayes.errors import DataError

SAMPLES = Path(__file__).parent / "samples"
VARIABLE = "RAYBAYES_DATA"


@dataclass(frozen=True)
class Place:
    """A folder to search, and where it is set: "--data", "RAYBAYES_DATA" or "cache"."""

    label: str
    folder: Path


@dataclass(frozen=True)
class Origin:
    """Where a data set was found.

    Args:
        place: "embedded", "--data", "RAYBAYES_DATA", "cache", or "file" for a Parquet file given by its path.
        folder: its files are in or below it.
        files: the path of each file, by its declared path.
    """

    place: str
    folder: Path
    files: Mapping[str, Path]

    def __str__(self) -> str:
        return self.place if self.place == "embedded" else f"{self.folder} ({self.place})"


def cache_folder() -> Path:
    """`$XDG_CACHE_HOME/raybayes/data`, or the same below `~/.cache`."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "raybayes" / "data"


def places(data_dir: str | None) -> tuple[Place, ...]:
    """The folders to search for full data sets, in order.

    Raises:
        DataError: `data_dir` is not a folder. (An environment variable may be set for other machines too.)
    """
    found = []
    if data_dir is not None:
        folder = Path(data_dir).expanduser().absolute()
        if not folder.is_dir():
            raise DataError(f"--data: {folder} is not a folder; give an existing one, or drop --data.")
        found.append(Place("--data", folder))
    if os.environ.get(VARIABLE):
        found.append(Place(VARIABLE, Path(os.environ[VARIABLE]).expanduser().absolute()))
    return (*found, Place("cache", cache_folder()))


def locate(dataset: DataSet, data_dir: str | None) -> Origin:
    """The first place with all files of a data set, in `<place>/<its folder>` or in the place itself.

    Raises:
        DataError: no place has them; the message says which were searched, what is missing, and how to get it.
    """
    if dataset.embedded:
        return Origin("embedded", SAMPLES, {file.path: SAMPLES / file.path for file in dataset.files})
    searched = places(data_dir)
    for place in searched:
        for folder in (place.folder / dataset.folder, place.folder):
            files = found_in(folder, dataset)
            if len(files) == len(dataset.files):
                return Origin(place.label, folder, files)
    raise DataError(missing(dataset, searched))


def found_in(folder: Path, dataset: DataSet) -> dict[str, Path]:
    """The files of a data set that exist in a folder."""
    found = {}
    for file in dataset.files:
        for candidate in (folder / name for name in file.alternatives()):
            if candidate.is_dir() if file.folder else candidate.is_file():
                found[file.path] = candidate
                break
    return found


def missing(dataset: DataSet, searched: tuple[Place, ...]) -> str:
    """The message for a data set that is in none of the places."""
    looked = ", ".join(f"{place.folder} ({_why_not(place, dataset)})" for place in searched)
    unset = "" if any(place.label == VARIABLE for place in searched) else f"; {VARIABLE} is not set"
    if dataset.source is not None:
        get = f"fetch it with `raybayes data fetch {dataset.name}`"
    else:
        files = " and ".join(f"{dataset.folder}/{file.path}" for file in dataset.files)
        get = f"put {files} into one of these folders (it comes from {dataset.obtain})"
    sample = f", or use the embedded sample {dataset.sample!r}" if dataset.sample else ""
    return f"data set {dataset.name!r} was not found in {looked}{unset}; {get}{sample}."


def _why_not(place: Place, dataset: DataSet) -> str:
    if not place.folder.is_dir():
        return f"{place.label}, no such folder"
    for folder in (place.folder / dataset.folder, place.folder):
        present = found_in(folder, dataset)
        lacking: list[File] = [file for file in dataset.files if file.path not in present]
        if present and lacking:
            return f"{place.label}, incomplete, missing {', '.join(file.path for file in lacking)}"
    return place.label
