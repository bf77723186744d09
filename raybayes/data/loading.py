"""Loading a data set by name, or a user's own file by its path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa

from raybayes.data.files.tables import read_parquet, split_by
from raybayes.data.files.text import read_csv, read_svmlight
from raybayes.data.places import Origin, locate
from raybayes.data.registry.catalogue import describe
from raybayes.errors import DataError

READERS: dict[str, Callable[[Path], pa.Table]] = {
    ".parquet": read_parquet,
    ".csv": read_csv,
    ".svm": read_svmlight,
    ".libsvm": read_svmlight,
}


def load(name: str, data_dir: str | None = None) -> dict[str, pa.Table]:
    """The tables of a data set by split name; {"all": table} without splits.

    A full set and its sample have the same columns (`describe(name).columns`). A full set is searched in `data_dir`,
    then in `RAYBAYES_DATA`, then in the user's cache, and never replaced by its sample.

    Args:
        name: a data set, or the path of a file (.parquet, .csv, or svmlight with qid: .svm, .libsvm; relative to the
            working folder, else to `data_dir`), whose column `split`, if any, gives the splits.

    Raises:
        DataError: unknown name; not found; unreadable; a column is missing, has another type, or has empty cells.

    Example:
        >>> tables = load("mnist-sample")
        >>> {split: table.num_rows for split, table in tables.items()}
        {'train': 2000, 'test': 1000}
        >>> tables["train"].column_names
        ['index', 'label', 'image']
    """
    found = origin(name, data_dir)
    if not is_path(name):
        dataset = describe(name)
        return dataset.read(dataset, found.files)
    path = found.files[name]
    table = READERS[path.suffix](path)
    return split_by(table, path) if "split" in table.column_names else {"all": table}


def origin(name: str, data_dir: str | None = None) -> Origin:
    """Where `load` finds a data set; does not read it.

    Raises:
        DataError: unknown name, or not found.
    """
    if not is_path(name):
        return locate(describe(name), data_dir)
    tried = [Path(name).expanduser().absolute()]
    if data_dir is not None:
        tried.append((Path(data_dir).expanduser() / name).absolute())
    for path in tried:
        if path.is_file():
            return Origin("file", path.parent, {name: path})
    raise DataError(f"{' or '.join(map(str, tried))} does not exist; give the path of an existing file.")


def is_path(name: str) -> bool:
    """Whether the name of a data set is the path of a file: it ends in .parquet, .csv, .svm or .libsvm."""
    return name.endswith(tuple(READERS))
