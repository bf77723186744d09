"""Studies from and for other programs: an Optuna storage is read, a sweep's study is opened for reading or copied."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import optuna
from optuna.storages import BaseStorage, JournalStorage
from optuna.trial import TrialState, create_trial

from raybayes.errors import SpecError, StoreError
from raybayes.search.importing import RawTrial
from raybayes.search.objective import Objective
from raybayes.search.outcomes.outcome import State
from raybayes.search.outcomes.records import TrialRecord
from raybayes.search.study.journal import GroupedJournal
from raybayes.search.study.study import STUDY_NAME, name_metrics
from raybayes.search.study.transfer_study import to_distribution
from raybayes.space import Space
from raybayes.space.values import as_key

_STATES = {State.COMPLETE: TrialState.COMPLETE, State.PRUNED: TrialState.PRUNED, State.FAIL: TrialState.FAIL}


OptunaStudy = optuna.Study


class _ReadOnlyJournal(GroupedJournal):
    """The journal of a sweep, which refuses every change."""

    def __init__(self, path: str) -> None:
        super().__init__(path, writer=False)

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        raise StoreError(
            f"{self._path}: the study of a sweep is read-only; raybayes extend adds trials, and raybayes export "
            "--to sqlite:///FILE makes a copy that Optuna may write to."
        )


def read_only_study(location: str) -> optuna.Study:
    """The study of a sweep as Optuna has it; writing to it raises StoreError.

    Args:
        location: path of its journal.

    Raises:
        StoreError: no burst has begun yet.
    """
    try:
        return optuna.load_study(study_name=STUDY_NAME, storage=JournalStorage(_ReadOnlyJournal(location)))
    except KeyError:
        raise StoreError(f"{location}: there is no study yet; it begins with the sweep's first trial.") from None


def copy_study(location: str, storage: str, name: str) -> None:
    """Copy the study of a sweep into an Optuna storage, such as "sqlite:///x.db".

    Args:
        location: path of its journal.
        storage, name: where the copy goes, and what it is called there.

    Raises:
        SpecError: the storage cannot be opened, or has a study of that name.
    """
    target = _open(storage, "--to")
    if name in optuna.get_all_study_names(target):
        raise SpecError(
            f"--to {storage}: it has a study {name!r} already; choose another --study NAME, or another file."
        )
    optuna.copy_study(
        from_study_name=STUDY_NAME,
        from_storage=JournalStorage(_ReadOnlyJournal(location)),
        to_storage=target,
        to_study_name=name,
    )


def _open(storage: str, option: str) -> BaseStorage:
    try:
        return optuna.storages.get_storage(storage)
    except Exception as error:  # of the database's driver, whatever that is
        reason = str(error).partition("\n")[0]
        raise SpecError(
            f"{option} {storage}: it cannot be opened ({reason}); give a database such as sqlite:///old.db."
        ) from None


@dataclass(frozen=True)
class ForeignStudy:
    """A study of another program.

    Args:
        directions: "minimize" or "maximize", one per objective.
        rows: its finished trials; their values lie under the names of the objectives.
        unfinished: how many trials have not ended.
    """

    directions: tuple[str, ...]
    rows: tuple[RawTrial, ...]
    unfinished: int


def read_foreign_study(storage: str, name: str | None, objectives: Sequence[str]) -> ForeignStudy:
    """A study of an Optuna storage.

    Args:
        name: of the study; None: the only one.
        objectives: names that its values get, in order.

    Raises:
        SpecError: the storage cannot be opened, has no such study, or several and none was named; or the study has
            another number of objectives.
    """
    opened = _open(storage, "--storage")
    names = optuna.get_all_study_names(opened)
    if name is None and len(names) != 1:
        raise SpecError(f"{storage} has {len(names)} studies; name one with --study: {', '.join(names) or 'none'}.")
    if name is not None and name not in names:
        raise SpecError(f"{storage} has no study {name!r}; it has: {', '.join(names) or 'none'}.")
    study = optuna.load_study(study_name=name or names[0], storage=opened)
    directions = tuple(direction.name.lower() for direction in study.directions)
    if len(directions) != len(objectives):
        raise SpecError(
            f"study {study.study_name!r} of {storage} has {len(directions)} objectives, this sweep "
            f"{len(objectives)} ({', '.join(objectives)}); name as many with --objective."
        )
    trials = study.get_trials(deepcopy=False)
    ended = [trial for trial in trials if trial.state.is_finished()]
    return ForeignStudy(directions, tuple(_row(trial, objectives) for trial in ended), len(trials) - len(ended))


def _row(trial: optuna.trial.FrozenTrial, objectives: Sequence[str]) -> RawTrial:
    values: dict[str, Any] = {**trial.params, "state": trial.state.name, "trial": trial.number}
    began, ended = trial.datetime_start, trial.datetime_complete
    if began is not None and ended is not None:
        values |= {"started": began.timestamp(), "ended": ended.timestamp(), "seconds": (ended - began).total_seconds()}
    if trial.state is TrialState.COMPLETE:
        values |= dict(zip(objectives, trial.values, strict=True))
    elif trial.intermediate_values and len(objectives) == 1:
        values[objectives[0]] = trial.intermediate_values[max(trial.intermediate_values)]
    return RawTrial(f"trial {trial.number}", values, dict(trial.intermediate_values))


def write_study(location: str, space: Space, objectives: Sequence[Objective], records: Sequence[TrialRecord]) -> None:
    """Make the journal of a sweep from finished trials, numbered from 0 in this order.

    Raises:
        StoreError: the disk cannot be written.
    """
    journal = GroupedJournal(location, writer=True)
    study = optuna.create_study(
        study_name=STUDY_NAME, storage=JournalStorage(journal), directions=[o.direction for o in objectives]
    )
    name_metrics(study, [objective.name for objective in objectives])
    for record in records:
        trial = create_trial(
            state=_STATES[record.state],
            params={name: as_key(value) for name, value in record.params.items()},
            distributions={name: to_distribution(space[name]) for name in record.params},
            values=list(record.values) if record.values is not None else None,
            intermediate_values=record.curve,
            user_attrs=dict(record.notes),
            constraints=dict(record.missed) or None,
        )
        trial.datetime_start = _time(record.started, trial.datetime_start)
        trial.datetime_complete = _time(record.ended, trial.datetime_complete)
        study.add_trial(trial)
    journal.flush()


def _time(stamp: float | None, otherwise: datetime | None) -> datetime | None:
    return otherwise if stamp is None else datetime.fromtimestamp(stamp)


def in_memory(locations: Mapping[str, str]) -> BaseStorage:
    """A storage in memory with copies of the studies of some sweeps.

    Args:
        locations: paths of their journals, by the name of the copy; those without a study are left out.
    """
    storage = optuna.storages.InMemoryStorage()
    for name, location in locations.items():
        journal = JournalStorage(_ReadOnlyJournal(location))
        with contextlib.suppress(KeyError):  # no burst has begun yet
            optuna.copy_study(from_study_name=STUDY_NAME, from_storage=journal, to_storage=storage, to_study_name=name)
    return storage
