"""Which training rows are labelled, as the user names them: a column of true and false, or a file of row numbers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from raybayes.errors import DataError

_KEYS = ("labeled_indices", "labelled_indices")  # the first is FlowGMM's


def named_rows(given: str, table: pa.Table, where: str) -> Tensor:
    """Row numbers, in order.

    Args:
        given: a column of `table`, or the path of a file: .npy, .npz with labeled_indices, or text.
        table: the training rows that the numbers count, from 0.

    Raises:
        DataError: neither a column nor a file, or a row number that does not exist or occurs twice.
    """
    if given in table.column_names:
        column = table[given]
        if not pa.types.is_boolean(column.type) or column.null_count:
            raise DataError(f"{where}: labelled_rows names column {given!r} of type {column.type}; it must hold true or"
                            f" false in every row.")  # fmt: skip
        rows = np.flatnonzero(column.to_numpy())
    else:
        rows = _from_file(Path(given).expanduser(), table, where)
    if not len(rows):
        raise DataError(f"{where}: labelled_rows = {given} names no row; name some of each class.")
    wrong = rows[(rows < 0) | (rows >= len(table))]
    if len(wrong):
        raise DataError(f"{given}: row {wrong[0]} does not exist; the {len(table)} training rows of {where} are 0 to"
                        f" {len(table) - 1}.")  # fmt: skip
    values, counts = np.unique(rows, return_counts=True)
    if (counts > 1).any():
        raise DataError(f"{given}: row {values[counts > 1][0]} occurs twice; name each row once.")
    return torch.from_numpy(values.astype(np.int64))


def _from_file(path: Path, table: pa.Table, where: str) -> np.ndarray[Any, np.dtype[np.int64]]:
    if not path.is_file():
        raise DataError(f"labelled_rows = {path} is neither a file nor a column of {where}; its columns are"
                        f" {', '.join(table.column_names)}.")  # fmt: skip
    try:
        if path.suffix in (".npy", ".npz"):
            found = np.load(path)
            if path.suffix == ".npz":
                found = found[next(key for key in _KEYS if key in found)]
        else:
            found = np.array([float(word) for word in path.read_text("utf-8").replace(",", " ").split()])
        values = np.asarray(found, np.float64).ravel()
    except (ValueError, OSError, StopIteration) as error:
        raise DataError(f"{path}: row numbers cannot be read ({error or 'no ' + ' or '.join(_KEYS)}); write whole"
                        f" numbers separated by blanks, or use .npy.") from None  # fmt: skip
    if len(wrong := values[values != np.floor(values)]):
        raise DataError(f"{path}: {wrong[0]:g} is not a row number; write whole numbers from 0.")
    return values.astype(np.int64)
