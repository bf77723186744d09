"""Reads the public data sets that exist only as Python pickles, without running code from them.

A pickle may name any function of any module and call it. These hold arrays, lists, numbers and text, so the only names
allowed are those that rebuild a NumPy array.
"""

from __future__ import annotations

import codecs
import io
import pickle
from typing import Any

import numpy as np

from raybayes.errors import DataError

_RECONSTRUCT = np.empty(0).__reduce__()[0]  # its module was renamed in NumPy 2; old pickles carry the old name
_ALLOWED: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("_codecs", "encode"): codecs.encode,  # how Python 3 writes bytes into a protocol 2 pickle
}


class _ArraysOnly(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(f"it needs {module}.{name}, which no array needs") from None


def load_arrays(content: bytes, where: str) -> Any:
    """The content of a pickle; text of Python 2 is read as Latin-1.

    Raises:
        DataError: it is not a pickle, is incomplete, or needs anything but NumPy arrays and plain values.
    """
    try:
        return _ArraysOnly(io.BytesIO(content), encoding="latin1").load()
    except Exception as error:  # a damaged pickle may raise anything
        raise DataError(f"{where}: is not a pickle of plain arrays ({error}); fetch it again.") from error
