"""Parquet files as tables with the declared columns: each is present, has its type, and has no empty cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from raybayes.data.records import Column, DataSet
from raybayes.errors import DataError

_LAYOUT_KEYS = (b"pandas", b"ARROW:schema")  # how a writer stored the table, and not its content


def read_parquet(
    path: Path, columns: Sequence[Column] | None = None, constants: Mapping[str, object] | None = None
) -> pa.Table:
    """A Parquet file's table; with `columns` only these, in their order and types.

    Args:
        constants: values, by name, of columns that the file may omit.

    Raises:
        DataError: the file cannot be read, a column is missing, has another type, or has empty cells.
    """
    try:
        # ParquetFile, not read_table, which makes columns from folders named key=value.
        with pq.ParquetFile(path) as file:
            found = file.schema_arrow
            wanted = None if columns is None else [c.name for c in columns if c.name in found.names]
            table = file.read(columns=wanted)
    except (pa.ArrowException, OSError) as error:
        reason = str(error).splitlines()[0].rstrip(".") if str(error) else type(error).__name__
        raise DataError(f"{path}: cannot be read as Parquet ({reason}); replace the file.") from error
    if columns is None:
        return table.replace_schema_metadata(_metadata(table))
    return conform(table, columns, path, constants or {}, found)


def conform(
    table: pa.Table,
    columns: Sequence[Column],
    where: Path | str,
    constants: Mapping[str, object] | None = None,
    found: pa.Schema | None = None,
) -> pa.Table:
    """The table with exactly the declared columns, in their order and types.

    Integers are widened or narrowed if every value fits, dictionaries are decoded, integers become floats; text never
    becomes a number.

    Args:
        where: the file, for messages.
        constants: values, by name, of columns that the table may omit.
        found: all columns of the file, if `table` has only some.

    Raises:
        DataError: with the file, the column, what was found and what is expected.
    """
    found = table.schema if found is None else found
    arrays = []
    for column in columns:
        times = found.names.count(column.name)
        if times == 0 and constants is not None and column.name in constants:
            arrays.append(pa.chunked_array([pa.array([constants[column.name]] * table.num_rows, column.type)]))
        elif times != 1:
            problem = "is missing" if times == 0 else f"occurs {times} times"
            raise DataError(
                f"{where}: column {column.name!r} {problem}; found {', '.join(found.names) or 'no column'}; "
                f"wanted {', '.join(f'{c.name} ({c.type})' for c in columns)}."
            )
        else:
            arrays.append(_cast(table.column(column.name), column, where))
    schema = pa.schema([pa.field(c.name, c.type, c.nullable) for c in columns], _metadata(table))
    return pa.Table.from_arrays(arrays, schema=schema)


def split_by(table: pa.Table, where: Path | str, order: Sequence[str] = ()) -> dict[str, pa.Table]:
    """The rows of each value of the column `split`, without that column: in `order`, then as they appear.

    Raises:
        DataError: `split` is not text, has empty cells, or lacks a value of `order`.
    """
    names = _cast(table.column("split"), Column("split", pa.string(), "name of the split"), where)
    rest = table.drop_columns(["split"])
    present = pc.unique(names).to_pylist()
    if absent := [name for name in order if name not in present]:
        raise DataError(f"{where}: split {absent[0]!r} is missing; found {', '.join(present) or 'no row'}.")
    ordered = [*order, *(name for name in present if name not in order)]
    return {name: rest.filter(pc.equal(names, name)) for name in ordered}


def read_tables(dataset: DataSet, paths: Mapping[str, Path]) -> dict[str, pa.Table]:
    """The tables of a data set that is stored as Parquet: one file per split, a column `split`, or neither."""
    if dataset.files[0].split is not None:
        return {str(f.split): labelled(read_parquet(paths[f.path], dataset.columns), dataset) for f in dataset.files}
    path = paths[dataset.files[0].path]
    if list(dataset.splits) == ["all"]:
        return {"all": labelled(read_parquet(path, dataset.columns, dataset.constants), dataset)}
    columns = (Column("split", pa.string(), "name of the split"), *dataset.columns)
    table = read_parquet(path, columns, dataset.constants)
    return {name: labelled(part, dataset) for name, part in split_by(table, path, list(dataset.splits)).items()}


def labelled(table: pa.Table, dataset: DataSet) -> pa.Table:
    """The table with the data set's class names in its schema's metadata, under "classes", comma-separated."""
    if not dataset.classes:
        return table
    classes = {b"classes": ",".join(dataset.classes).encode()}
    return table.replace_schema_metadata({**(table.schema.metadata or {}), **classes})


def _metadata(table: pa.Table) -> dict[bytes, bytes] | None:
    kept = {key: value for key, value in (table.schema.metadata or {}).items() if key not in _LAYOUT_KEYS}
    return kept or None


def _cast(array: pa.ChunkedArray, column: Column, where: Path | str) -> pa.ChunkedArray:
    wanted, found = column.type, array.type
    if array.null_count and not column.nullable:
        row = pc.index(pc.is_null(array), True).as_py()
        raise DataError(
            f"{where}: column {column.name!r} has {array.null_count} empty cells (the first in row {row}); "
            f"every row needs a value ({column.doc})."
        )
    if _is_list(found) and (gaps := pc.list_flatten(array).null_count):
        raise DataError(f"{where}: column {column.name!r} has {gaps} empty values inside its lists; fill or drop them.")
    if found == wanted:
        return array
    reason = ""
    if _fits(found, wanted):
        try:
            return array.cast(wanted)
        except pa.ArrowException as error:
            reason = f" ({str(error).splitlines()[0].rstrip('.')})"
    raise DataError(
        f"{where}: column {column.name!r} has type {found}, wanted {wanted}{reason}; "
        f"write it as {wanted} ({column.doc})."
    )


def _is_list(of: pa.DataType) -> bool:
    return bool(pa.types.is_list(of) or pa.types.is_large_list(of) or pa.types.is_fixed_size_list(of))


def _fits(found: pa.DataType, wanted: pa.DataType) -> bool:
    if _is_list(found) and _is_list(wanted):
        return _fits(found.value_type, wanted.value_type)
    kinds = _kind(found), _kind(wanted)
    return kinds[0] == kinds[1] or kinds == ("integer", "float") or bool(pa.types.is_null(found))


def _kind(of: pa.DataType) -> str:
    """The kind of a type: types of one kind differ in width or encoding only."""
    types = pa.types
    if types.is_dictionary(of):
        return _kind(of.value_type)
    if _is_list(of):
        return f"list of {_kind(of.value_type)}"
    if types.is_struct(of):
        return "struct of " + ", ".join(sorted(f"{f.name} {_kind(f.type)}" for f in of))
    if types.is_binary(of) or types.is_large_binary(of) or types.is_fixed_size_binary(of):
        return "bytes"
    if types.is_string(of) or types.is_large_string(of):
        return "text"
    if types.is_floating(of):
        return "float"
    return "integer" if types.is_integer(of) else str(of)
