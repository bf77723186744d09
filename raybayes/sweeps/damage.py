"""Finds what is damaged in a sweep's folder: which file, which line, which trials."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import yaml

from raybayes.errors import StoreError
from raybayes.space import Space
from raybayes.store import parquet
from raybayes.store.checkpointing import checkpoints
from raybayes.store.checkpointing.manifests import CheckpointRef, inspect_checkpoint, is_foreign, wrong_hash
from raybayes.store.documents import read_whole_spec
from raybayes.store.layout import Layout
from raybayes.store.lock import BurstLock
from raybayes.store.logs.reports import BrokenReports, read_reports
from raybayes.store.trials import read_trials

if TYPE_CHECKING:
    from raybayes.search.objective import Objective
    from raybayes.search.study.rebuild import Rebuilt, Remains
    from raybayes.search.study.salvage import Salvage

_TRIAL_OF = re.compile(r"trial=(\d+)/")
_SHOWN = 12  # trials that a line names


@dataclass(frozen=True)
class Damage:
    """One thing that is damaged.

    Args:
        file: relative to the sweep's folder.
        line: from 1; None: the whole file.
        what: the finding, without a full stop.
        trials: those that it concerns, as far as that is known.
        kind: "spec", "journal", "trials", "reports", "checkpoint", "table" or "other": who can mend it.
    """

    file: str
    line: int | None
    what: str
    trials: tuple[int, ...] = ()
    kind: str = "other"

    def __str__(self) -> str:
        place = self.file if self.line is None else f"{self.file}:{self.line}"
        return f"{place}: {self.what}{_named(self.trials)}"


def _named(trials: tuple[int, ...]) -> str:
    if not trials:
        return ""
    listed = ", ".join(map(str, trials[:_SHOWN])) + (f" and {len(trials) - _SHOWN} more" if trials[_SHOWN:] else "")
    return f" (trial{'s' if len(trials) > 1 else ''} {listed})"


class Inspection:
    """What a sweep's folder still says, read without raising, and what is damaged in it. Writes nothing.

    Args:
        layout: the sweep's paths.
    """

    def __init__(self, layout: Layout) -> None:
        self.layout = layout

    @cached_property
    def running(self) -> bool:
        """Whether a burst writes to it now, so that a last line may be in the making."""
        return BurstLock(self.layout).find_living() is not None

    @cached_property
    def spec(self) -> dict[str, Any] | StoreError:
        """The document of sweep.yaml, or what is wrong with it."""
        try:
            return read_whole_spec(self.layout)
        except StoreError as error:
            return error

    @property
    def _document(self) -> Mapping[str, Any]:
        return self.spec if isinstance(self.spec, dict) else {}

    @cached_property
    def space(self) -> Space:
        """What is searched."""
        return Space.from_description(self._document["parameters"])

    @cached_property
    def objectives(self) -> tuple[Objective, ...]:
        """The metrics that the search improves."""
        from raybayes.search.objective import Objective

        entries = self._document.get("objectives", ())
        return tuple(Objective(entry["name"], entry["direction"], entry.get("unit", "")) for entry in entries)

    @cached_property
    def rows(self) -> dict[int, dict[str, Any]] | StoreError:
        """The rows of trials.parquet by trial, or what is wrong with it."""
        try:
            table = read_trials(self.layout)
            return {} if table is None else {row["trial"]: row for row in table.to_pylist()}
        except (StoreError, KeyError) as error:
            return StoreError(str(error))

    @cached_property
    def _reports(self) -> tuple[list[dict[str, Any]], list[BrokenReports]]:
        broken: list[BrokenReports] = []
        return read_reports(self.layout, broken).to_pylist(), broken

    @property
    def reported(self) -> set[int]:
        """Numbers of the trials that have reports."""
        return {row["trial"] for row in self._reports[0]}

    @cached_property
    def journal(self) -> Salvage:
        """What the journal still says."""
        from raybayes.search.study.salvage import Salvage, salvage_journal

        if not self.layout.storage.exists(self.layout.journal):
            return Salvage()
        directions = [objective.direction for objective in self.objectives]
        return salvage_journal(self.layout.storage.read_bytes(self.layout.journal), directions)

    @cached_property
    def remains(self) -> Remains:
        """Everything that is known of the trials. The tables are read first: a burst that ends writes them last."""
        from raybayes.search.study.rebuild import Remains

        rows = self.rows if isinstance(self.rows, dict) else {}
        reports: dict[int, list[dict[str, Any]]] = {}
        for row in self._reports[0]:
            reports.setdefault(row["trial"], []).append(row)
        journal = {trial.number: trial for trial in self.journal.trials}
        return Remains(journal, rows, reports, dict(self._configs()))

    def _configs(self) -> Iterator[tuple[int, Mapping[str, Any]]]:
        """The configurations that checkpoints were written with."""
        for trial, repeat, step in self._steps():
            ref = inspect_checkpoint(self.layout, trial, repeat, step)
            if isinstance(ref, CheckpointRef) and ref.config is not None:
                yield trial, ref.config

    def _steps(self) -> Iterator[tuple[int, int, int]]:
        for trial, repeat in checkpoints.list_trials(self.layout):
            for step in checkpoints.list_steps(self.layout, trial, repeat):
                yield trial, repeat, step

    def rebuilt(self) -> Rebuilt:
        """The trials from all that remains."""
        from raybayes.search.study.rebuild import TrialBuilder

        document = self._document
        constraints, repeats = document.get("constraints") or {}, int(document.get("repeats", 1))
        return TrialBuilder(self.remains, self.space, self.objectives, constraints, repeats).rebuild()

    # -- what is damaged -------------------------------------------------------------------------------------

    def study_damage(self) -> list[Damage]:
        """What is wrong with the study: broken lines, and trials of which the tables know more."""
        path, journal = self.layout.journal, self.journal
        found = [Damage(path, each.line, each.what, each.trials, "journal") for each in journal.broken]
        if journal.torn and not self.running:
            lost = f"the last line is incomplete ({journal.torn} bytes), as a crash leaves it"
            found.append(Damage(path, None, lost, kind="torn"))
        if ahead := self.remains.ahead():
            exists = self.layout.storage.exists(path)
            knows = f"knows {len(journal.trials)} trials, less than the tables" if exists else "is missing"
            found.append(Damage(path, None, knows, tuple(ahead), "journal"))
        return found

    def find(self) -> list[Damage]:
        """All that is damaged, the files that matter most first."""
        found = []
        if isinstance(self.spec, StoreError):
            found.append(Damage(self.layout.spec, None, _reason(self.spec, self.layout), kind="spec"))
        else:
            found += self.study_damage()
        if isinstance(self.rows, StoreError):
            found.append(Damage(self.layout.trials, None, "not a complete Parquet file", kind="trials"))
        found += [
            Damage(each.path, each.line, each.what, kind="torn" if each.torn else "reports")
            for each in self._reports[1]
            if not (each.torn and self.running)
        ]
        return [*found, *self._checkpoint_damage(), *self._table_damage(), *self._other_damage(), *self._stages()]

    def _checkpoint_damage(self) -> Iterator[Damage]:
        for trial, repeat, step in self._steps():
            ref = inspect_checkpoint(self.layout, trial, repeat, step)
            problem = ref if isinstance(ref, str) else wrong_hash(ref)
            if problem is not None:
                foreign = is_foreign(self.layout, trial, repeat, step)
                path = self.layout.checkpoint(trial, repeat, step)
                yield Damage(path, None, problem, (trial,), "foreign" if foreign else "checkpoint")

    def _table_damage(self) -> Iterator[Damage]:
        for path in self.layout.storage.sizes(self.layout.tables):
            if path.endswith(".parquet"):
                named = _TRIAL_OF.search(path)
                trials = (int(named[1]),) if named else ()
                yield from self._unreadable(f"{self.layout.tables}/{path}", trials)

    def _unreadable(self, path: str, trials: tuple[int, ...]) -> Iterator[Damage]:
        try:
            parquet.read_table(self.layout.storage, path)
        except StoreError:
            yield Damage(path, None, "not a complete Parquet file", trials, "table")

    def _other_damage(self) -> Iterator[Damage]:
        storage = self.layout.storage
        if storage.exists(self.layout.warm_start):
            yield from _unparsed(self.layout.warm_start, lambda: json.loads(storage.read_bytes(self.layout.warm_start)))
        for name in storage.list("bursts"):
            path = f"bursts/{name}"
            yield from _unparsed(path, lambda path=path: dict(yaml.safe_load(storage.read_bytes(path))))

    def _stages(self) -> Iterator[Damage]:
        """The confirmations, each a sweep of its own."""
        names = [name for name in self.layout.storage.list() if re.fullmatch(r"confirm-\d+", name)]
        for name in names:
            for each in Inspection(Layout(self.layout.storage.child(name))).find():
                yield Damage(f"{name}/{each.file}", each.line, each.what, each.trials, "stage")


def _reason(error: StoreError, layout: Layout) -> str:
    """A sentence on sweep.yaml without the path that it begins with, and without advice."""
    text = str(error).removeprefix(f"{layout.storage.display_path(layout.spec)}:").removeprefix(layout.storage.display)
    return text.strip(": ").partition("; ")[0].rstrip(".")


def _unparsed(path: str, parse: Any) -> Iterable[Damage]:
    try:
        parse()
    except (ValueError, TypeError, yaml.YAMLError, StoreError) as error:
        return [Damage(path, None, f"cannot be read ({type(error).__name__})")]
    return []
