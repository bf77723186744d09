"""Arrow tables as Parquet files that carry their schema version."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.parquet as pq

from raybayes.errors import StoreError
from raybayes.store.filesystem import Storage
from raybayes.store.schema import SCHEMA, require_readable

_KEY = b"raybayes.schema"


def write_table(storage: Storage, path: str, table: pa.Table) -> None:
    """Write a table. Raises StoreError if the storage cannot be written or Parquet cannot hold a column."""
    metadata = {**(table.schema.metadata or {}), _KEY: str(SCHEMA).encode()}
    with storage.writing(path) as file:
        try:
            pq.write_table(table.replace_schema_metadata(metadata), file, compression="zstd")
        except (pa.ArrowNotImplementedError, pa.ArrowInvalid) as error:
            raise StoreError(
                f"{storage.display_path(path)}: Parquet cannot hold this table ({error}); change the column."
            ) from error


def read_table(storage: Storage, path: str) -> pa.Table:
    """Read a table, without our own metadata. Raises StoreError if it is missing, damaged, or of a newer schema."""
    with storage.reading(path) as file:
        try:
            table = pq.read_table(file)
        except (pa.ArrowInvalid, OSError) as error:
            raise StoreError(
                f"{storage.display_path(path)}: this is not a complete Parquet file ({error}); mend it with "
                f"raybayes check {storage.display} --repair."
            ) from error
    metadata = dict(table.schema.metadata or {})
    require_readable(storage.display_path(path), int(metadata.pop(_KEY, str(SCHEMA).encode())))
    return table.replace_schema_metadata(metadata or None)
