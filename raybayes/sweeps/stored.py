"""A sweep's folder opened to be read: its spec, space, study, reports, tables and states, as they lie there."""

from __future__ import annotations

import os
import pwd
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from raybayes.errors import StoreError
from raybayes.space import Space
from raybayes.space.descriptions import mended
from raybayes.spec.options import Path
from raybayes.spec.sweep_spec import SweepSpec
from raybayes.spec.validation import build
from raybayes.store.documents import read_whole_spec
from raybayes.store.filesystem import open_storage
from raybayes.store.layout import Layout
from raybayes.store.logs.reports import BrokenReports, read_reports
from raybayes.store.tables import list_tables, read_table
from raybayes.sweeps.damage import Inspection

if TYPE_CHECKING:
    from raybayes.search.objective import Objective
    from raybayes.search.outcomes.records import TrialRecord
    from raybayes.search.study.exchange import OptunaStudy
    from raybayes.search.study.study import Study


class StoredSweep:
    """The folder of a sweep or run.

    Args:
        path: its folder or URI.
        keep: what must live as long as this object does: a temporary folder.

    Raises:
        StoreError: there is no sweep, or a newer raybayes wrote it.
    """

    def __init__(self, path: Path, keep: Any = None) -> None:
        self._keep = keep
        self.layout = Layout(open_storage(str(path)))
        self.document = read_whole_spec(self.layout)

    @property
    def path(self) -> str:
        """The folder, as it was given."""
        return self.layout.storage.display

    @cached_property
    def spec(self) -> SweepSpec:
        """What was asked for, every default written out."""
        known = {name: value for name, value in self.document.items() if name in SweepSpec.model_fields}
        return build(SweepSpec, known, self.layout.storage.display_path(self.layout.spec))

    @cached_property
    def space(self) -> Space:
        """What is searched, fixed parameters taken out."""
        parameters = {name: mended(entry) for name, entry in self.document["parameters"].items()}
        return Space.from_description(parameters, self.document.get("require", ()), self.document.get("config"))

    @cached_property
    def objectives(self) -> tuple[Objective, ...]:
        """The metrics that the search improves."""
        from raybayes.search.objective import Objective

        return tuple(
            Objective(entry["name"], entry["direction"], entry["unit"]) for entry in self.document["objectives"]
        )

    @cached_property
    def _study(self) -> Study:
        return self.open_study()

    @property
    def study(self) -> OptunaStudy:
        """The sweep's Optuna study, for Optuna's own figures and tables. It is read-only: a change raises StoreError.

        Raises:
            StoreError: no burst has begun yet.
        """
        from raybayes.engine.controller.journal_file import journal_file
        from raybayes.search.study.exchange import read_only_study

        return read_only_study(str(journal_file(self.layout)))

    def export_study(self, storage: str, name: str | None = None) -> str:
        """Copy the study into an Optuna storage, such as "sqlite:///x.db", which Optuna may write to.

        Args:
            name: of the copy; None: the sweep's.

        Returns:
            The name.

        Raises:
            SpecError: the storage cannot be opened, or has a study of that name.
        """
        from raybayes.engine.controller.journal_file import journal_file
        from raybayes.search.study.exchange import copy_study

        copy_study(str(journal_file(self.layout)), storage, name or self.layout.name)
        return name or self.layout.name

    def open_study(self) -> Study:
        """The study, opened for reading, fresh at each call; of a damaged one what is left of it, with a warning."""
        from raybayes.engine.controller.journal_file import journal_file
        from raybayes.sweeps.whole import readable_study

        return readable_study(self.layout, Inspection(self.layout), str(journal_file(self.layout)))

    def require_whole(self) -> None:
        """StoreError with the command that mends it if the study is damaged, before a burst works on it."""
        from raybayes.engine.controller.journal_file import journal_file
        from raybayes.sweeps.whole import require_whole_study

        require_whole_study(self.layout, Inspection(self.layout), str(journal_file(self.layout)))

    @cached_property
    def records(self) -> list[TrialRecord]:
        """Every trial as the study has it, by number."""
        return self._study.records()

    @cached_property
    def reports(self) -> pa.Table:
        """One row per report: trial, repeat, attempt, step, seconds, time, node, and the metrics."""
        from raybayes.sweeps.whole import warn_of_damage

        broken: list[BrokenReports] = []
        table = read_reports(self.layout, broken)
        damaged = [each for each in broken if not each.torn]
        if damaged:
            warn_of_damage(self.path, "reports that cannot be read")
        return table

    @property
    def code(self) -> dict[int, dict[str, Any]]:
        """Which code each burst ran with: commit, diff, sources, packages, and the numbers of the trials it trained."""
        from raybayes.store.code import read_stamps
        from raybayes.store.logs.reports import trials_of_bursts

        trained = trials_of_bursts(self.layout, broken=[])
        stamps = read_stamps(self.layout)
        return {burst: {**stamp, "trials": trained.get(burst, [])} for burst, stamp in stamps.items()}

    def profile(self) -> pa.Table:
        """Where the time of each slot went, one row per run: slot, node, trial, repeat, ended, seconds of each part."""
        from raybayes.store.logs.profile import read_profile

        return read_profile(self.layout)

    @property
    def owner(self) -> str | None:
        """Whose folder it is, if it is another user's; None: yours, or it is on an object store."""
        if not self.layout.storage.local:
            return None
        owner = self.layout.storage.local_path(self.layout.spec).stat().st_uid
        if owner == os.getuid():
            return None
        try:
            return pwd.getpwuid(owner).pw_name
        except KeyError:
            return f"user {owner}"

    @property
    def attempts(self) -> pa.Table:
        """One row per start of a run: trial, repeat, attempt, burst, node, began, ended, seconds, end, cause."""
        from raybayes.store.logs.attempts import read_attempts

        return read_attempts(self.layout)

    @property
    def tables(self) -> list[str]:
        """Names of the tables that trials saved."""
        return list_tables(self.layout)

    def table(self, name: str, trial: int | None = None, repeat: int | None = None) -> pa.Table:
        """What trials saved under `name`, with the columns trial, repeat and part."""
        return read_table(self.layout, name, trial, repeat)

    @property
    def checkpoint_bytes(self) -> int:
        """Bytes of all checkpoints that are kept."""
        return sum(self.layout.storage.sizes(self.layout.checkpoints).values())

    def stored_state(self, trial: int, repeat: int = 0) -> dict[str, Any]:
        """The newest state that a trial has stored (rank 0's): what its training function would resume from.

        Raises:
            StoreError: the trial has stored none, or a sweep kept only those of better trials.
        """
        from raybayes.store.checkpointing import checkpoints, retention

        ref = checkpoints.find_newest(self.layout, trial, repeat)
        if ref is None:
            kept = sorted(retention.list_trials_with_checkpoints(self.layout))
            raise StoreError(
                f"{self.path}: trial {trial} has no stored state; "
                + (f"trials with one: {', '.join(map(str, kept))}." if kept else "let it make its first checkpoint.")
            )
        state: dict[str, Any] = checkpoints.load(ref)[0]["state"]
        return state
