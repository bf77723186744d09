"""The study: every trial of a sweep, its configuration, curve and end, in an Optuna study that outlives all jobs.

A burst opens it, takes up what an earlier burst left unfinished, asks for new trials, and tells how they ended.
Nothing that a burst holds in memory is needed by the next one.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import optuna
from optuna.samplers import RandomSampler, TPESampler
from optuna.search_space import IntersectionSearchSpace
from optuna.storages import BaseStorage, JournalStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from raybayes.contract import Direction
from raybayes.errors import StoreError
from raybayes.search.objective import Objective
from raybayes.search.optuna_internals import fix_params, forget_cached_trials, open_trial, share_search_space
from raybayes.search.outcomes.importance import intervals, shares
from raybayes.search.outcomes.outcome import Outcome, State
from raybayes.search.outcomes.records import TrialRecord
from raybayes.search.samplers import Factory
from raybayes.search.schedulers.rungs import Curves
from raybayes.search.study.journal import GroupedJournal
from raybayes.search.study.transfer_study import Past, TransferStudy
from raybayes.space import Choice, Float, Space, Value

optuna.logging.set_verbosity(optuna.logging.ERROR)

_NAME = "sweep"
_FINAL = {State.COMPLETE: TrialState.COMPLETE, State.PRUNED: TrialState.PRUNED, State.FAIL: TrialState.FAIL}
_SHOWN = {
    TrialState.COMPLETE: State.COMPLETE,
    TrialState.PRUNED: State.PRUNED,
    TrialState.FAIL: State.FAIL,
    TrialState.RUNNING: State.RUNNING,
    TrialState.WAITING: State.PAUSED,
}


class Study:
    """An Optuna study with raybayes' rules.

    Args:
        location: path of a journal file, or a database URL (anything with "://").
        space: what is searched; may be empty.
        objectives: one or more; several make a multi-objective study.
        writer: False to read a study that another process may be working on.
        past: trials of earlier sweeps that the sampler sees too.
    """

    def __init__(
        self,
        location: str,
        space: Space,
        objectives: Sequence[Objective],
        writer: bool = True,
        past: Sequence[Past] = (),
    ) -> None:
        self._journal = None if "://" in location else GroupedJournal(location, writer)
        self._storage: BaseStorage = (
            optuna.storages.get_storage(location) if self._journal is None else JournalStorage(self._journal)
        )
        self._space = space
        self.objectives = tuple(objectives)
        self._open([objective.direction for objective in objectives], writer)
        self._study = TransferStudy(_NAME, self._storage, space, self.objectives, past)
        if [d.name.lower() for d in self._study.directions] != [o.direction for o in objectives]:
            was = ", ".join(d.name.lower() for d in self._study.directions)
            now = ", ".join(f"{o.direction} {o.name}" for o in objectives)
            raise StoreError(f"{location}: the study was made to {was}, found {now}; start a new sweep for these.")
        if writer and self._study.metric_names is None:  # Optuna's dashboard shows them
            with warnings.catch_warnings():  # "experimental" for years
                warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
                self._study.set_metric_names([objective.name for objective in objectives])
        self._study_id = self._storage.get_study_id_from_name(_NAME)
        self._live: dict[int, Trial] = {}
        self._common = IntersectionSearchSpace(include_pruned=True)  # as TPESampler makes its own

    def _open(self, directions: Sequence[Direction], writer: bool) -> None:
        """Make the study, if there is none yet."""
        if not writer:
            # Making one, even where there is one, adds a line to a reader's copy of the journal, and it would take the
            # next line that the writer adds for its own.
            with contextlib.suppress(KeyError):
                self._storage.get_study_id_from_name(_NAME)
                return
        optuna.create_study(study_name=_NAME, storage=self._storage, directions=directions, load_if_exists=True)

    @property
    def storage(self) -> BaseStorage:
        """For programs that read Optuna's storages. What a reader writes to it is lost."""
        return self._storage

    @property
    def begun(self) -> bool:
        """Whether there is anything in it yet: a reader of an empty one must open it again to see what comes."""
        return bool(self._trials())

    def _trials(self) -> list[FrozenTrial]:
        trials: list[FrozenTrial] = self._study.get_trials(deepcopy=False)
        return trials

    def flush(self, sync: bool = True) -> None:
        """Make everything up to here survive a crash of this process, and with `sync` one of the machine."""
        if self._journal is not None:
            self._journal.flush(sync)

    # -- asking ----------------------------------------------------------------------------------------------

    def ask(
        self, factory: Factory, given: Mapping[str, Any] | None = None, **notes: Any
    ) -> tuple[int, dict[str, Value]]:
        """A new trial: its number and its configuration, drawn by `factory(number)` or as `given`."""
        number = len(self._trials())
        # Not `Study.ask`: it would hand out a trial that is put aside (WAITING) before it makes a new one.
        trial_id = self._storage.create_new_trial(self._study_id)
        if given is not None:
            fix_params(self._storage, trial_id, given)
        forget_cached_trials(self._study)
        self._study.sampler = sampler = factory(number)
        if isinstance(sampler, TPESampler):
            share_search_space(sampler, self._common)
        params: dict[str, Value] = {}
        self._study.informing = True
        trial = open_trial(self._study, trial_id)
        for name in self._space:
            if self._space.is_active(name, params):
                params[name] = self._suggest(trial, name)
        self._study.informing = False
        for name, value in notes.items():
            trial.set_user_attr(name, value)
        self._live[trial.number] = trial
        return trial.number, params

    def _suggest(self, trial: Trial, name: str) -> Value:
        parameter = self._space[name]
        if isinstance(parameter, Choice):
            chosen: Value = trial.suggest_categorical(name, parameter.values)
            return chosen
        last: Any = parameter.nearest(parameter.high)  # Optuna warns of a range that its step misses
        if isinstance(parameter, Float):
            return float(trial.suggest_float(name, parameter.low, last, log=parameter.log, step=parameter.step))
        return int(trial.suggest_int(name, parameter.low, last, log=parameter.log, step=parameter.step))

    def take_up(self, number: int) -> dict[str, Value]:
        """Go on with an unfinished trial: RUNNING again, under the same number and configuration."""
        frozen = self._frozen(number)
        if frozen.state is TrialState.WAITING:
            self._storage.set_trial_state_values(self._id(number), TrialState.RUNNING)
        self._live[number] = self._handle(number)
        return dict(frozen.params)

    def _handle(self, number: int) -> Trial:
        self._study.sampler = RandomSampler()  # a handle on an old trial must not cost a suggestion
        return open_trial(self._study, self._id(number))

    def params(self, number: int) -> dict[str, Value]:
        """The configuration of any trial."""
        return dict(self._frozen(number).params)

    def _frozen(self, number: int) -> FrozenTrial:
        # By number, not from the list of all: a report of a long study must cost what one of a short study does.
        return self._storage.get_trial(self._id(number))

    def _id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)

    # -- telling ---------------------------------------------------------------------------------------------

    def report(self, number: int, step: int, value: float) -> None:
        """One point of the trial's curve (single-objective studies only; Optuna keeps none for several)."""
        if len(self.objectives) == 1 and step not in self._frozen(number).intermediate_values:
            self._live[number].report(value, step)

    def note(self, number: int, **notes: Any) -> None:
        """Keep facts beside a trial: attempts, seconds, error, standard error, ..."""
        for name, value in notes.items():
            self._live[number].set_user_attr(name, value)

    def finish(self, number: int, outcome: Outcome, violations: Mapping[str, float]) -> None:
        """Close a trial, or (PAUSED) put it aside for a later burst."""
        trial = self._live.pop(number)
        if outcome.state is State.PAUSED:
            self._storage.set_trial_state_values(self._id(number), TrialState.WAITING)
            return
        if outcome.error is not None:
            trial.set_user_attr("error", outcome.error)
        for name, distance in violations.items():
            trial.set_constraint(name, distance)
        values = list(outcome.values) if outcome.values is not None else None
        self._study.tell(number, values, state=_FINAL[outcome.state])

    def void(self, number: int) -> None:
        """Close a trial that a crash left without a whole configuration; it does not count."""
        frozen = self._frozen(number)
        if frozen.state is TrialState.WAITING:
            self._storage.set_trial_state_values(self._id(number), TrialState.RUNNING)
        self._handle(number).set_user_attr("void", True)
        self._study.tell(number, state=TrialState.FAIL)

    # -- reading ---------------------------------------------------------------------------------------------

    def records(self) -> list[TrialRecord]:
        """All trials but the void ones, in order."""
        return [self._record(frozen) for frozen in self._trials() if not frozen.user_attrs.get("void")]

    def _record(self, frozen: FrozenTrial) -> TrialRecord:
        missed = frozen.constraints
        return TrialRecord(
            number=frozen.number,
            state=_SHOWN[frozen.state],
            params=dict(frozen.params),
            values=tuple(frozen.values) if frozen.values is not None and frozen.state is TrialState.COMPLETE else None,
            curve=dict(frozen.intermediate_values),
            notes=dict(frozen.user_attrs),
            started=frozen.datetime_start.timestamp() if frozen.datetime_start else None,
            ended=frozen.datetime_complete.timestamp() if frozen.datetime_complete else None,
            feasible=all(value <= 0 for value in missed.values()),
            missed=missed,
        )

    def unfinished(self) -> tuple[list[int], list[int]]:
        """Numbers of trials to go on with, and of those to void (their configuration is not whole)."""
        whole: list[int] = []
        torn: list[int] = []
        for frozen in self._trials():
            if not frozen.state.is_finished():
                is_whole = self._space.outside(frozen.params) is None
                (whole if is_whole else torn).append(frozen.number)
        return whole, torn

    def curves(self) -> Curves:
        """All curves as losses, for the schedulers."""
        curves = Curves()
        for frozen in self._trials():
            for step, value in frozen.intermediate_values.items():
                if math.isfinite(value):
                    curves.add(frozen.number, step, self.objectives[0].loss(value))
        return curves

    def importances(self) -> dict[str, float]:
        """Share of each parameter in the first objective (`raybayes.search.outcomes.importance`); empty for several."""
        return {} if len(self.objectives) > 1 else shares(self._trials(), self._study.directions[0])

    def importance_intervals(self, seed: int) -> dict[str, tuple[float, float]]:
        """How far each share may be off: bootstrap quantiles; empty where `importances` is."""
        return {} if len(self.objectives) > 1 else intervals(self._trials(), self._study.directions[0], seed)
