"""Which version of the files on disk this raybayes writes, and which it can read."""

from __future__ import annotations

from typing import Any

from raybayes import __version__
from raybayes.errors import StoreError

SCHEMA = 1


def refuse_newer(where: str, found: Any) -> None:
    """Raise StoreError unless `found` is a schema that this version reads."""
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise StoreError(
            f"{where}: schema is {found!r}, raybayes {__version__} reads {SCHEMA}; restore the file from a backup."
        )
    if found > SCHEMA:
        raise StoreError(
            f"{where}: found schema {found}, written by a newer raybayes; this is raybayes {__version__}, "
            f"which reads schema {SCHEMA}: install a newer raybayes to open it."
        )
