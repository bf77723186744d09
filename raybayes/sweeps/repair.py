"""Mends a damaged sweep: rebuilds its study from all that remains, and keeps a copy of every file that it changes."""

from __future__ import annotations

import itertools
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from raybayes.errors import StoreError
from raybayes.search.study.study import Study
from raybayes.search.study.trials_table import trials_table
from raybayes.store.documents import read_whole_spec
from raybayes.store.layout import Layout
from raybayes.store.lock import BurstLock
from raybayes.store.logs.reports import parse_lines
from raybayes.store.trials import write_trials
from raybayes.sweeps.damage import Damage, Inspection


@dataclass(frozen=True)
class Repair:
    """What was done.

    Args:
        mended: one sentence for each thing that is whole again.
        lost: one for each that could not be saved.
        copies: folder with the damaged files as they were; "" if there was none to keep.
    """

    mended: tuple[str, ...] = ()
    lost: tuple[str, ...] = ()
    copies: str = ""


def find_damage(layout: Layout) -> list[Damage]:
    """All that is damaged in a sweep's folder. Raises StoreError if it is not the folder of a sweep."""
    _require_sweep(layout)
    return Inspection(layout).find()


def _require_sweep(layout: Layout) -> None:
    known = (layout.spec, layout.journal, layout.trials, layout.reports)
    if not any(layout.storage.exists(path) for path in known):
        read_whole_spec(layout)  # which says that it is none


class Mender:
    """Mends one sweep, under its lock.

    Args:
        layout: the sweep's paths.
    """

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._mended: list[str] = []
        self._lost: list[str] = []
        numbers = (f"damaged/{number}" for number in itertools.count(1))
        self._copies = next(name for name in numbers if not layout.storage.exists(name))
        self._kept: set[str] = set()

    def repair(self) -> Repair:
        """Mend all that can be mended.

        Raises:
            StoreError: a burst works on the sweep, or sweep.yaml is lost and no burst has kept a copy of it.
        """
        _require_sweep(self._layout)
        with BurstLock(self._layout):
            found = Inspection(self._layout).find()
            self._mend_spec([each for each in found if each.kind == "spec"])
            self._mend_reports([each for each in found if each.kind in ("reports", "torn")])
            self._set_aside([each for each in found if each.kind in ("checkpoint", "foreign", "table", "other")])
            self._mend_study(found)
        for name in sorted({each.file.partition("/")[0] for each in found if each.kind == "stage"}):
            stage = Mender(Layout(self._layout.storage.child(name))).repair()
            self._mended += [f"{name}: {sentence}" for sentence in stage.mended]
            self._lost += [f"{name}: {sentence}" for sentence in stage.lost]
        copies = self._layout.storage.display_path(self._copies) if self._kept else ""
        return Repair(tuple(self._mended), tuple(self._lost), copies)

    def _keep(self, path: str) -> None:
        """Copy a file before it is changed."""
        storage = self._layout.storage
        if path not in self._kept and storage.exists(path):
            storage.write_bytes(f"{self._copies}/{path}", storage.read_bytes(path))
            self._kept.add(path)

    def _mend_spec(self, found: Sequence[Damage]) -> None:
        """Restore sweep.yaml from the copy that the last burst has kept."""
        for damage in found:
            copies = [path for path in self._layout.spec_copies() if self._is_spec(path)]
            if not copies:
                raise StoreError(
                    f"{self._layout.storage.display_path(self._layout.spec)}: {damage.what}, and no burst has kept a "
                    "copy of it; restore it from a backup, or start a new sweep with --warm-start."
                )
            self._keep(self._layout.spec)
            data = self._layout.storage.read_bytes(copies[-1])
            self._layout.storage.write_bytes(self._layout.spec, data)
            self._mended.append(f"{self._layout.spec}: restored from {copies[-1]}")

    def _is_spec(self, path: str) -> bool:
        try:
            read_whole_spec(self._layout, path)
        except StoreError:
            return False
        return True

    def _mend_reports(self, found: Sequence[Damage]) -> None:
        """Leave out broken lines; a broken table is set aside, and the log beside it counts again, if there is one."""
        storage = self._layout.storage
        for path in sorted({each.file for each in found if each.file.startswith(f"{self._layout.reports}/")}):
            if not path.endswith(".jsonl"):
                self._move(path)
                log = path.replace(".parquet", ".jsonl")
                saved = "the log of the burst is used" if storage.exists(log) else ""
                (self._mended if saved else self._lost).append(f"{path}: {saved or 'the reports of that burst'}")
                continue
            self._keep(path)
            rows, broken = parse_lines(storage.read_bytes(path), path)
            storage.write_bytes(path, "".join(json.dumps(row) + "\n" for row in rows).encode())
            self._mended.append(f"{path}: {len(rows)} reports are kept")
            self._lost += [f"{path}:{each.line}: one report" for each in broken]

    def _set_aside(self, found: Sequence[Damage]) -> None:
        """Move what nothing can mend out of the way of those who read."""
        for damage in found:
            self._move(damage.file)
            self._lost.append(f"{damage}; it is set aside")

    def _move(self, path: str) -> None:
        storage, target = self._layout.storage, f"{self._copies}/{path}"
        self._kept.add(path)
        if not storage.local:
            for name in storage.sizes(path) or {"": 0}:
                file = f"{path}/{name}".rstrip("/")
                storage.write_bytes(f"{self._copies}/{file}", storage.read_bytes(file))
            storage.delete(path)
            return
        storage.local_path(target).parent.mkdir(parents=True, exist_ok=True)
        storage.rename(path, target)

    def _mend_study(self, found: Sequence[Damage]) -> None:
        """Rebuild the journal if it is damaged, and the table of trials with it."""
        layout, inspection = self._layout, Inspection(self._layout)
        damaged = [each for each in found if each.file == layout.journal] or inspection.study_damage()
        if not damaged and not any(each.kind == "trials" for each in found):
            return
        rebuilt = inspection.rebuilt()
        if damaged:
            self._keep(layout.journal)
            with tempfile.TemporaryDirectory(prefix="raybayes-") as folder:
                file = Path(folder) / "study.journal"
                study = Study(str(file), inspection.space, inspection.objectives)
                study.add_trials(rebuilt.trials)
                study.flush()
                layout.storage.write_bytes(layout.journal, file.read_bytes())
            self._lost += rebuilt.lost
            self._lost += self._lineage(inspection)
        self._keep(layout.trials)
        study = Study(rebuilt.trials, inspection.space, inspection.objectives, writer=False)
        table = trials_table(study.records(), inspection.space, inspection.objectives)
        write_trials(layout, table)
        states = table["state"].to_pylist()
        counts = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states))) or "no trial"
        what = layout.journal if damaged else layout.trials
        self._mended.append(f"{what}: rebuilt with {len(states)} trials ({counts})")

    def _lineage(self, inspection: Inspection) -> list[str]:
        """What only the journal knows of a population: whom a member descends from."""
        spec, remains = inspection.spec, inspection.remains
        scheduler = spec.get("scheduler") if isinstance(spec, dict) else None
        if not isinstance(scheduler, dict) or scheduler.get("name") != "pbt":
            return []
        lost = sorted({*remains.rows} - {*remains.journal})
        return [f"trials {', '.join(map(str, lost))}: which member each of them descends from"] if lost else []
