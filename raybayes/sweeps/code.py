"""Which code trains a sweep: stamped at each burst, compared when it is resumed."""

from __future__ import annotations

import contextlib
import importlib
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from raybayes.errors import SpecError, StoreError
from raybayes.store.code import read_stamps, write_stamp
from raybayes.store.layout import Layout
from raybayes.store.logs.reports import next_burst_number
from raybayes.sweeps.preparation import Prepared
from raybayes.training.digest import changed_sources, code_stamp, folder_digests, package_versions

_SHOWN = 5  # files that a refusal names


def stamp_of(prepared: Prepared) -> dict[str, Any]:
    """The stamp of the code that a burst of this sweep would run now."""
    if prepared.training is not None:
        sources, folder = prepared.training.digests()
    else:
        sources, folder = _project_digests(prepared.spec.project)
    return code_stamp(sources, folder)


class CodeStamp:
    """Keeps the stamp of a burst: its sources at once, the packages as soon as they are listed.

    Args:
        layout: the sweep's paths.
        stamp: from `stamp_of`.
    """

    def __init__(self, layout: Layout, stamp: Mapping[str, Any]) -> None:
        self._layout, self._stamp, self._burst = layout, dict(stamp), next_burst_number(layout)
        write_stamp(layout, self._burst, self._stamp)
        self._thread = threading.Thread(target=self._add_packages, name="raybayes-code", daemon=True)
        self._thread.start()

    def _add_packages(self) -> None:
        packages = package_versions()
        with contextlib.suppress(StoreError):  # a storage that refuses is the burst's own to say
            write_stamp(self._layout, self._burst, {**self._stamp, "packages": packages})

    def finish(self) -> None:
        """Wait until the packages are listed."""
        self._thread.join()


def _project_digests(name: str) -> tuple[dict[str, str], Path]:
    """Of a project of the catalogue: its package and its search spaces."""
    places: list[Path] = []
    for package in ("trainables", "search_spaces"):
        for folder in map(Path, importlib.import_module(package).__path__):
            places += [place for place in (folder / name, folder / f"{name}.py") if place.exists()]
    root = places[0].parent.parent if places else Path.cwd()
    return folder_digests(places, root), root


def require_same_code(layout: Layout, stamp: dict[str, Any], path: str) -> None:
    """Refuse to resume a sweep with other code than that of its last burst.

    Raises:
        SpecError: the files that differ, and how to go on.
    """
    stamps = read_stamps(layout)
    if not stamps:
        return
    number, last = max(stamps.items())
    files = changed_sources(last["sources"], stamp["sources"])
    if files:
        listed = ", ".join(files[:_SHOWN]) + (f" and {len(files) - _SHOWN} more" if len(files) > _SHOWN else "")
        raise SpecError(
            f"{path}: the code has changed since burst {number}: {listed}. Restore it, or resume with the new code: "
            f"--code-changed (code_changed=True in Python)."
        )
