"""sweep.yaml: what was asked for, with every default written out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from raybayes.errors import StoreError
from raybayes.store.layout import Layout
from raybayes.store.schema import SCHEMA, require_readable, up_to_date

KEYS = ("project", "parameters", "objectives", "fidelity")


def write_spec(layout: Layout, document: Mapping[str, Any], burst: int | None = None) -> None:
    """Write the specification, `schema` first, the rest in the order given.

    Args:
        burst: the number of the burst that begins with it, which keeps a copy.

    Raises:
        StoreError: a value is not a plain one (mapping, list, string, number, boolean, None), or the storage refuses.
    """
    plain = {"schema": SCHEMA, **{name: value for name, value in document.items() if name != "schema"}}
    try:
        text = yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=120)
    except yaml.representer.RepresenterError as error:
        raise StoreError(
            f"{layout.storage.display_path(layout.spec)}: {error.args[-1]!r} is not a plain value; "
            "use mappings, lists, strings, numbers, booleans and None."
        ) from None
    layout.storage.write_bytes(layout.spec, text.encode())
    if burst is not None:
        layout.storage.write_bytes(layout.spec_copy(burst), text.encode())


def read_spec(layout: Layout, path: str | None = None) -> dict[str, Any]:
    """The specification in the words of this version, whatever schema it was written in, without its `schema`.

    Args:
        path: of a copy; None: sweep.yaml itself.

    Raises:
        StoreError: the folder is not a sweep, the file is not a YAML table, or a newer raybayes wrote it.
    """
    path = path or layout.spec
    shown = layout.storage.display_path(path)
    if not layout.storage.exists(path):
        there = "has no sweep.yaml" if layout.storage.exists() else "does not exist"
        raise StoreError(f"{layout.storage.display}: not a sweep: the folder {there}; give the folder of a sweep.")
    try:
        document = yaml.safe_load(layout.storage.read_bytes(path).decode())
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{shown}:{mark.line + 1}:{mark.column + 1}" if mark else shown
        reason = getattr(error, "problem", None) or error
        raise StoreError(f"{place}: not valid YAML: {reason}; {_advice(layout)}.") from None
    if not isinstance(document, dict) or "schema" not in document:
        found = f"the keys {', '.join(map(str, document))}" if isinstance(document, dict) else type(document).__name__
        raise StoreError(
            f"{shown}: not the file of a sweep: found {found}, and a sweep's file starts with 'schema: {SCHEMA}'; "
            f"{_advice(layout)}, or give another folder."
        )
    schema = document.pop("schema")
    require_readable(shown, schema)
    return up_to_date(document, schema)


def read_whole_spec(layout: Layout, path: str | None = None) -> dict[str, Any]:
    """As `read_spec`; also a StoreError if it lacks a key without which nothing can be read of a sweep."""
    document = read_spec(layout, path)
    if missing := [key for key in KEYS if key not in document]:
        shown = layout.storage.display_path(path or layout.spec)
        raise StoreError(f"{shown}: it lacks the keys {', '.join(missing)}; {_advice(layout)}.")
    return document


def _advice(layout: Layout) -> str:
    return f"restore it: raybayes check {layout.storage.display} --repair"
