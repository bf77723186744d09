"""Labels of a user's table as class numbers: whole numbers, floats as pandas writes them, words, true and false."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from raybayes.errors import DataError

Cells = list[int | str | None]  # None: no label


def class_numbers(
    columns: Sequence[pa.ChunkedArray], classes: int | None, where: str
) -> tuple[list[Tensor], tuple[str, ...]]:
    """Class numbers of each column's rows, -1 where there is no label, and the names of the classes.

    Whole numbers are class numbers where they are 0 to K-1, or where `classes` is given; other numbers and words are
    classes in ascending order. Empty cells, NaN and empty text mean no label.

    Args:
        columns: the labels of every split whose labels are used.
        classes: number of classes; None: those that occur.

    Raises:
        DataError: no label at all, a label that is no whole number, a negative one, or a type that labels cannot have.
    """
    cells = [_cells(column, where) for column in columns]
    found = sorted(
        {cell for part in cells for cell in part if cell is not None}, key=lambda cell: (str(type(cell)), cell)
    )
    if not found:
        raise DataError(f"{where}: column 'label' is empty in every row; label some examples of each class.")
    if any(pa.types.is_boolean(column.type) for column in columns):
        names: list[int | str] = ["false", "true"]
    elif classes is not None and isinstance(found[0], int):
        names = list(range(max(classes, 1 + int(found[-1]))))  # labels above K-1 are refused by row, later
    else:
        names = list(found)
    number = {name: position for position, name in enumerate(names)}
    numbers = [torch.tensor([-1 if cell is None else number[cell] for cell in part], dtype=torch.int64)
               for part in cells]  # fmt: skip
    shown = tuple(map(str, names))
    if classes is not None and not isinstance(found[0], int) and classes != len(shown):
        raise DataError(f"{where}: classes = {classes}, but the labels are {', '.join(shown[:10])}; leave classes out.")
    return numbers, shown if classes is None else shown[:classes]


def _cells(column: pa.ChunkedArray, where: str) -> Cells:
    """One number or word per row."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _cells(column.cast(kind.value_type), where)
    if pa.types.is_null(kind):
        return [None] * len(column)
    if pa.types.is_boolean(kind):
        return [None if cell is None else str(cell).lower() for cell in column.to_pylist()]
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return [cell or None for cell in column.to_pylist()]
    if pa.types.is_floating(kind):
        return _whole(column.cast(pa.float64()).to_numpy(), where)
    if not pa.types.is_integer(kind):
        raise DataError(f"{where}: column 'label' has type {kind}; it must hold whole numbers from 0, words, or true"
                        f" and false (empty: no label).")  # fmt: skip
    given = column.drop_null()
    if len(given) and (lowest := pc.min(given).as_py()) < 0:
        raise DataError(f"{where}: found label {lowest}; labels must be 0 or more; an empty cell means no label.")
    return list(column.to_pylist())


def _whole(values: np.ndarray[tuple[int], np.dtype[np.float64]], where: str) -> Cells:
    """Floats that stand for whole numbers, NaN for none."""
    wrong = np.flatnonzero(~np.isnan(values) & (values != np.floor(values)))
    if len(wrong):
        raise DataError(f"{where}: row {wrong[0]} has label {values[wrong[0]]:g}; labels must be whole numbers, words,"
                        f" or true and false (empty or NaN: no label).")  # fmt: skip
    if len(lowest := values[values < 0]):
        raise DataError(
            f"{where}: found label {lowest.min():g}; labels must be 0 or more; an empty cell means no label."
        )
    return [None if np.isnan(value) else int(value) for value in values]
