"""A hash of the content of tables, to compare the data of two runs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from raybayes.errors import DataError


def fingerprint(tables: Mapping[str, pa.Table]) -> str:
    """SHA-256 (64 hex digits) over split names, column names, types and values, the splits in alphabetical order.

    It does not depend on chunks or slices, dictionary encoding, 32- or 64-bit offsets, the memory under empty cells, or
    the schema's metadata. It depends on the order of rows and columns.

    Raises:
        DataError: a column has a type that no data set needs (a map, a union, a decimal).
    """
    whole = hashlib.sha256()
    for split in sorted(tables):
        table = tables[split]
        whole.update(f"split {split!r} rows {table.num_rows}\n".encode())
        for name, column in zip(table.column_names, table.columns, strict=True):
            whole.update(f"column {name!r} {_plain_type(column.type, name)}\n".encode())
            # One running hash per buffer of the column: it continues over chunk boundaries.
            streams: dict[str, hashlib._Hash] = {}
            for chunk in column.chunks:
                for path, content in _buffers(chunk, name):
                    if content:
                        streams.setdefault(path, hashlib.sha256()).update(content)
            for path in sorted(streams):
                whole.update(f"{path} {streams[path].hexdigest()}\n".encode())
    return whole.hexdigest()


def _plain_type(of: pa.DataType, name: str) -> str:
    types = pa.types
    if types.is_dictionary(of):
        return _plain_type(of.value_type, name)
    if types.is_list(of) or types.is_large_list(of):
        return f"list<{_plain_type(of.value_type, name)}>"
    if types.is_fixed_size_list(of):
        return f"list<{_plain_type(of.value_type, name)}>[{of.list_size}]"
    if types.is_struct(of):
        return "struct<" + ", ".join(f"{field.name}: {_plain_type(field.type, name)}" for field in of) + ">"
    if types.is_string(of) or types.is_large_string(of):
        return "string"
    if types.is_binary(of) or types.is_large_binary(of):
        return "binary"
    if types.is_primitive(of) or types.is_fixed_size_binary(of) or types.is_null(of):
        return str(of)
    raise DataError(
        f"column {name!r} has type {of}, which has no fingerprint; store it as numbers, text, bytes, lists or structs."
    )


def _buffers(array: pa.Array, path: str) -> Iterator[tuple[str, bytes]]:
    """The content of an array as (stream, bytes), the same for equal arrays."""
    types = pa.types
    if types.is_dictionary(array.type):
        array = array.dictionary_decode()
    yield f"{path} present", pc.is_valid(array).cast(pa.uint8()).to_numpy().tobytes()
    of = array.type
    if types.is_list(of) or types.is_large_list(of) or types.is_fixed_size_list(of):
        lengths = pc.fill_null(pc.list_value_length(array), 0).cast(pa.int64())
        yield f"{path} lengths", lengths.to_numpy().tobytes()
        yield from _buffers(array.flatten(), f"{path}[]")
    elif types.is_struct(of):
        for field, child in zip(of, array.flatten(), strict=True):
            yield from _buffers(child, f"{path}.{field.name}")
    elif types.is_primitive(of):
        yield f"{path} values", _numbers(array).tobytes()
    elif not types.is_null(of):
        values = pc.drop_null(array).cast(pa.large_binary())
        lengths = pc.binary_length(values)
        yield f"{path} lengths", lengths.to_numpy().tobytes()
        offsets = np.frombuffer(values.buffers()[1], np.int64)[values.offset :][: len(values) + 1]
        content = values.buffers()[2]  # absent if every value is empty
        yield f"{path} values", b"" if content is None else content[offsets[0] : offsets[-1]].to_pybytes()


def _numbers(array: pa.Array) -> np.ndarray:
    """The non-null values, little-endian."""
    values = pc.drop_null(array)
    if pa.types.is_boolean(values.type):
        values = values.cast(pa.uint8())
    numbers = values.to_numpy(zero_copy_only=False)
    return np.asarray(numbers.astype(numbers.dtype.newbyteorder("<"), copy=False))
