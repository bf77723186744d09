"""All data sets by name, loaded from the registry's TOML files when `raybayes.data` is imported."""

from __future__ import annotations

import importlib.resources
import tomllib
from collections.abc import Iterable

from raybayes.data.places import SAMPLES
from raybayes.data.records import DataSet
from raybayes.data.registry.entries import Entry, data_set
from raybayes.errors import DataError, SpecError
from raybayes.spec.validation import build
from raybayes.wording import unknown

FILES = ("pictures.toml", "tables.toml", "detection.toml", "samples.toml")  # in the order of `names`


def load_registry(files: Iterable[tuple[str, str]]) -> dict[str, DataSet]:
    """The data sets that TOML files declare, by name, in their order.

    Args:
        files: name and text of each; an entry may refer to those before it.

    Raises:
        DataError: a text is not TOML; an entry has an unknown key, lacks one or has a wrong value; it refers to a data
            set that does not exist; a name is declared twice; an embedded file is missing; a full set's sample is not
            an embedded data set.
    """
    found: dict[str, DataSet] = {}
    for file, text in files:
        try:
            tables = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise DataError(f"{file}: not valid TOML: {error}; correct the file.") from None
        for name, table in tables.items():
            if name in found:
                raise DataError(f"{file}: data set {name!r} is declared twice; rename one of the two.")
            try:
                found[name] = data_set(name, build(Entry, table, f"{file}: {name}"), found)
            except SpecError as error:
                raise DataError(str(error)) from None
            except ValueError as error:
                raise DataError(f"{file}: {name}: {error}") from None
    _require_whole(found)
    return found


def _require_whole(found: dict[str, DataSet]) -> None:
    embedded = [name for name, dataset in found.items() if dataset.embedded]
    for name, dataset in found.items():
        if dataset.sample is not None and dataset.sample not in embedded:
            raise DataError(f"data set {name!r}: sample: {unknown('embedded data set', dataset.sample, embedded)}")
        for file in dataset.files if dataset.embedded else ():
            if not (SAMPLES / file.path).is_file():
                raise DataError(
                    f"data set {name!r}: {SAMPLES / file.path} does not exist; add the file, or correct it."
                )


def _packaged() -> Iterable[tuple[str, str]]:
    folder = importlib.resources.files("raybayes.data.registry")
    return ((name, folder.joinpath(name).read_text(encoding="utf-8")) for name in FILES)


DATA_SETS: dict[str, DataSet] = load_registry(_packaged())


def names() -> tuple[str, ...]:
    """The names that `load` takes, full sets first."""
    return tuple(DATA_SETS)


def describe(name: str) -> DataSet:
    """What is declared of a data set.

    Raises:
        DataError: there is no such data set; the message lists all names and the nearest one.
    """
    if name in DATA_SETS:
        return DATA_SETS[name]
    raise DataError(
        f"{unknown('data set', name, DATA_SETS)} A name that ends in .parquet is the path of a file of your own."
    )
