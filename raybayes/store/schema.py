"""Which version of the files on disk this raybayes writes, and how it reads those of an older one.

Schema 2 has the names that the options have at every door, without groups. A sweep of schema 1 is read through
`PATCHES`; once it is resumed or extended, its sweep.yaml is written as schema 2.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from raybayes._version import __version__
from raybayes.errors import StoreError

SCHEMA = 2
Document = dict[str, Any]


def require_readable(where: str, found: Any) -> None:
    """Raise StoreError unless `found` is a schema that this version reads."""
    if not isinstance(found, int) or isinstance(found, bool) or found < 1:
        raise StoreError(
            f"{where}: schema is {found!r}, raybayes {__version__} reads 1 to {SCHEMA}; restore the file from a backup."
        )
    if found > SCHEMA:
        raise StoreError(
            f"{where}: found schema {found}, written by a newer raybayes; this is raybayes {__version__}, "
            f"which reads schema {SCHEMA}: install a newer raybayes to open it."
        )


def up_to_date(document: Document, schema: int) -> Document:
    """A sweep.yaml of an older schema, as this version would have written it."""
    for patch in PATCHES[schema - 1 :]:
        document = patch(document)
    return document


def schema_1_to_2(document: Document) -> Document:
    """Flat keys, named as the options are."""
    for change in (
        flatten_resources,
        flatten_checkpoints,
        flatten_reuse,
        rename_times,
        rename_failed_limit,
        rename_narrow,
        rename_grace,
    ):
        document = change(document)
    return document


def flatten_resources(document: Document) -> Document:
    """`resources: {workers: 1, ...}` is `workers: 1, ...`."""
    return _opened(document, "resources", {})


def flatten_checkpoints(document: Document) -> Document:
    """`checkpoints: {keep: 5, every_s: 10}` is `keep_checkpoints: 5, checkpoint_every: 10`."""
    return _opened(document, "checkpoints", {"keep": "keep_checkpoints", "every_s": "checkpoint_every"})


def flatten_reuse(document: Document) -> Document:
    """`reuse: {trials: 500, growth_gib: 2}` is `isolate, trials_per_process, process_growth_gib`; 1 trial: isolate."""
    reuse = document.get("reuse")
    if not isinstance(reuse, dict) or "trials" not in reuse:
        return _opened(document, "reuse", {"growth_gib": "process_growth_gib"})
    limit = {"isolate": True} if reuse["trials"] == 1 else {"isolate": False, "trials_per_process": reuse["trials"]}
    rest = {name: value for name, value in reuse.items() if name != "trials"}
    return _opened({**document, "reuse": {**limit, **rest}}, "reuse", {"growth_gib": "process_growth_gib"})


def rename_times(document: Document) -> Document:
    """`time_budget_s` is `time_budget`, `report_limit_s` is `report_timeout`; both stay seconds."""
    return _renamed(document, {"time_budget_s": "time_budget", "report_limit_s": "report_timeout"})


def rename_failed_limit(document: Document) -> Document:
    """`failed_limit` is `max_failed_fraction`."""
    return _renamed(document, {"failed_limit": "max_failed_fraction"})


def rename_narrow(document: Document) -> Document:
    """`narrow` is `fixed_params`."""
    return _renamed(document, {"narrow": "fixed_params"})


def rename_grace(document: Document) -> Document:
    """The option `grace` of a scheduler is `grace_period`."""
    scheduler = document.get("scheduler")
    if not isinstance(scheduler, dict) or not isinstance(scheduler.get("options"), dict):
        return document
    return {
        **document,
        "scheduler": {**scheduler, "options": _renamed(scheduler["options"], {"grace": "grace_period"})},
    }


PATCHES: tuple[Callable[[Document], Document], ...] = (schema_1_to_2,)  # the first makes schema 2 of schema 1, ...


def _renamed(document: Document, names: dict[str, str]) -> Document:
    """The same values in the same order, some under new names."""
    return {names.get(key, key): value for key, value in document.items()}


def _opened(document: Document, group: str, names: dict[str, str]) -> Document:
    """A group's keys in its place, under the names given."""
    opened: Document = {}
    for key, value in document.items():
        opened |= _renamed(value, names) if key == group and isinstance(value, dict) else {key: value}
    return opened
