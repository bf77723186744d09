"""Opens failed trials of a stored study again: same number, same configuration, without a result.

Optuna never changes a trial that has ended, so the journal is written anew beside the old one and takes its place.
"""

from __future__ import annotations

import copy
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.trial import FrozenTrial, TrialState

from raybayes.search.study.journal import GroupedJournal
from raybayes.search.study.study import STUDY_NAME, name_metrics

_OF_THE_END = ("error", "cause", "seconds", "steps", "node", "se", "n")  # notes that a trial gets when it ends


def reopen_failed(location: str, numbers: Collection[int]) -> None:
    """Make these finished trials unfinished ones, so that the next burst runs them again.

    What they keep: number, configuration, finished repeats, attempts so far, and each earlier error (`errors`) with the
    seconds of training that it took (`earlier_seconds`). Reports up to the attempts in `retried` no longer count.

    Args:
        location: path of the journal; only the holder of the sweep's lock may call this.
    """
    path, fresh = Path(location), Path(f"{location}.new")
    fresh.unlink(missing_ok=True)
    study = optuna.load_study(study_name=STUDY_NAME, storage=JournalStorage(GroupedJournal(location, writer=False)))
    journal = GroupedJournal(str(fresh), writer=True)
    storage = JournalStorage(journal)
    copied = optuna.create_study(study_name=STUDY_NAME, storage=storage, directions=study.directions)
    if study.metric_names is not None:
        name_metrics(copied, study.metric_names)
    for name, value in study.user_attrs.items():
        copied.set_user_attr(name, value)
    for trial in study.get_trials(deepcopy=False):
        again = trial.number in numbers and trial.state is TrialState.FAIL
        copied.add_trial(_reopened(trial) if again else trial)
    journal.flush()
    os.replace(fresh, path)


def _reopened(trial: FrozenTrial) -> FrozenTrial:
    notes = dict(trial.user_attrs)
    error, seconds = notes.get("error"), notes.get("seconds", 0.0)
    kept: dict[str, Any] = {name: value for name, value in notes.items() if name not in _OF_THE_END}
    kept["errors"] = [*notes.get("errors", []), error]
    kept["earlier_seconds"] = notes.get("earlier_seconds", 0.0) + seconds
    kept["retried"] = notes.get("tries", {})
    done = notes.get("done", {})
    kept["spent"] = {repeat: spent for repeat, spent in notes.get("spent", {}).items() if repeat in done}
    opened = copy.copy(trial)
    opened.state, opened.values, opened.datetime_complete = TrialState.WAITING, None, None
    opened.intermediate_values = {}
    opened.user_attrs = kept
    opened.system_attrs = {}
    return opened
