"""The study: configuration, curve and outcome of every trial of a sweep, in an Optuna study that outlives all jobs.

A burst opens it, resumes the trials that an earlier burst left unfinished, asks for new ones, and records how they end.
The next burst needs nothing that this one holds in memory.
"""

from __future__ import annotations

import contextlib
import math
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import optuna
from optuna.samplers import BaseSampler, RandomSampler, TPESampler
from optuna.search_space import IntersectionSearchSpace
from optuna.storages import BaseStorage, InMemoryStorage, JournalStorage
from optuna.trial import FrozenTrial, Trial, TrialState

from raybayes.contract import Direction
from raybayes.errors import StoreError
from raybayes.search.objective import Objective
from raybayes.search.optuna_internals import forget_cached_trials, open_trial, share_search_space
from raybayes.search.outcomes.cause import find_cause
from raybayes.search.outcomes.importance import importance_intervals, importance_shares
from raybayes.search.outcomes.outcome import Outcome, State
from raybayes.search.outcomes.records import TrialRecord
from raybayes.search.samplers import Factory, learns_from_ends
from raybayes.search.schedulers.rungs import Curves
from raybayes.search.stopping import Stopping
from raybayes.search.study.drawing import Drawer, Suggestion
from raybayes.search.study.journal import GroupedJournal, JournalError
from raybayes.search.study.transfer_study import PastTrial, TransferStudy
from raybayes.space import Space, Value
from raybayes.space.values import as_key

optuna.logging.set_verbosity(optuna.logging.ERROR)

STUDY_NAME = "sweep"
_FINAL = {State.COMPLETE: TrialState.COMPLETE, State.PRUNED: TrialState.PRUNED, State.FAIL: TrialState.FAIL}
_SHOWN = {
    TrialState.COMPLETE: State.COMPLETE,
    TrialState.PRUNED: State.PRUNED,
    TrialState.FAIL: State.FAIL,
    TrialState.RUNNING: State.RUNNING,
    TrialState.WAITING: State.PAUSED,
}


def name_metrics(study: optuna.Study, names: Sequence[str]) -> None:
    """Store the names of a study's objectives."""
    with warnings.catch_warnings():  # "experimental" for years
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names(list(names))


class Study:
    """An Optuna study, with the outcomes and the resuming of raybayes.

    Args:
        location: path of a journal file, a database URL (anything with "://"), or the trials of a damaged study.
        space: the searched parameters; may be empty.
        objectives: one, or several for a multi-objective study.
        writer: False to read a study that another process may write.
        past: trials of earlier sweeps that the sampler also sees.
    """

    def __init__(
        self,
        location: str | Sequence[FrozenTrial],
        space: Space,
        objectives: Sequence[Objective],
        writer: bool = True,
        past: Sequence[PastTrial] = (),
    ) -> None:
        self._journal: GroupedJournal | None = None
        self._storage = self._storage_of(location, writer)
        self._space = space
        self.objectives = tuple(objectives)
        self._open([objective.direction for objective in objectives], writer)
        self._study = TransferStudy(STUDY_NAME, self._storage, space, self.objectives, past)
        if [d.name.lower() for d in self._study.directions] != [o.direction for o in objectives]:
            was = ", ".join(d.name.lower() for d in self._study.directions)
            now = ", ".join(f"{o.direction} {o.name}" for o in objectives)
            raise StoreError(f"{location}: the study was created to {was}, found {now}; start a new sweep for these.")
        if writer and self._study.metric_names is None:  # Optuna's dashboard shows them
            name_metrics(self._study, [objective.name for objective in objectives])
        self._study_id = self._storage.get_study_id_from_name(STUDY_NAME)
        self._live: dict[int, Trial] = {}
        self._learner: BaseSampler | None = None  # of this burst
        self._common = IntersectionSearchSpace(include_pruned=True)  # what TPESampler makes
        if not isinstance(location, str):
            self.add_trials(location)

    def _storage_of(self, location: str | Sequence[FrozenTrial], writer: bool) -> BaseStorage:
        if not isinstance(location, str):
            return InMemoryStorage()
        if "://" in location:
            return optuna.storages.get_storage(location)
        self._journal = GroupedJournal(location, writer)
        try:
            return JournalStorage(self._journal)
        except (KeyError, TypeError, AttributeError) as error:  # a line lacks what its operation needs
            raise JournalError(
                f"{location}: a line of the study's journal is incomplete ({type(error).__name__}: {error}); name the "
                f"damage with raybayes check {Path(location).parent}, and mend it with --repair."
            ) from None

    def add_trials(self, trials: Sequence[FrozenTrial]) -> None:
        """Append whole trials, which get the next numbers."""
        for trial in trials:
            self._storage.create_new_trial(self._study_id, template_trial=trial)
        forget_cached_trials(self._study)

    def _open(self, directions: Sequence[Direction], writer: bool) -> None:
        """Create the study if there is none."""
        if not writer:
            # Creating one, even where one exists, adds a line to the reader's copy of the journal: it would mistake the
            # writer's next line for its own.
            with contextlib.suppress(KeyError):
                self._storage.get_study_id_from_name(STUDY_NAME)
                return
        optuna.create_study(study_name=STUDY_NAME, storage=self._storage, directions=directions, load_if_exists=True)

    @property
    def storage(self) -> BaseStorage:
        """The Optuna storage, for programs that read one. What a reader writes to it is lost."""
        return self._storage

    @property
    def has_trials(self) -> bool:
        """Whether it has trials: a reader that opened an empty study must open it again to see new ones."""
        return bool(self._trials())

    def _trials(self) -> list[FrozenTrial]:
        trials: list[FrozenTrial] = self._study.get_trials(deepcopy=False)
        return trials

    def flush(self, sync: bool = True) -> None:
        """Write everything so far: it survives a crash of this process, and with `sync` one of the machine."""
        if self._journal is not None:
            self._journal.flush(sync)

    # -- asking ----------------------------------------------------------------------------------------------

    def ask(
        self, factory: Factory, fixed: Mapping[str, Any] | None = None, **notes: Any
    ) -> tuple[int, dict[str, Value]]:
        """Start a trial: its number and its configuration, drawn by `factory(number)` except for the `fixed` values."""
        number = len(self._trials())
        given = {
            name: self._space[name].declared(value) for name, value in (fixed or {}).items() if name in self._space
        }
        # Not `Study.ask`: it returns a paused trial (WAITING) before it creates a new one.
        trial_id = self._storage.create_new_trial(self._study_id)
        forget_cached_trials(self._study)
        sampler = self._learner or self._make_sampler(factory, number)
        if isinstance(sampler, TPESampler):
            share_search_space(sampler, self._common)
        with self._study.shown_to(sampler):
            trial = open_trial(self._study, trial_id)
            suggestion = Suggestion(self._study, trial, self._storage.get_trial(trial_id), self._space, given)
            params = self._drawer.draw(suggestion.draw, given, suggestion.redraws)
        for name, value in params.items():
            distribution = self._study.distributions[name]
            self._storage.set_trial_param(trial_id, name, distribution.to_internal_repr(as_key(value)), distribution)
        self._drawer.add(params)
        for name, value in notes.items():
            trial.set_user_attr(name, value)
        self._live[trial.number] = trial
        return trial.number, params

    @cached_property
    def _drawer(self) -> Drawer:
        return Drawer(self._space, (record.params for record in self.records() if record.params))

    def _declared(self, params: Mapping[str, Any]) -> dict[str, Value]:
        """A configuration in the types of the space, from what the storage holds."""
        return {n: self._space[n].declared(value) if n in self._space else value for n, value in params.items()}

    def _make_sampler(self, factory: Factory, number: int) -> BaseSampler:
        """A fresh sampler; one that learns from the ends of trials is kept, and learns from those so far first."""
        sampler = factory(number)
        if learns_from_ends(sampler):
            self._learner = sampler
            ended = [trial for trial in self._trials() if trial.state.is_finished() and not _is_void(trial)]
            for trial in sorted(ended, key=lambda each: (each.datetime_complete, each.number)):
                sampler.after_trial(self._study, trial, trial.state, trial.values)
        return sampler

    def resume_trial(self, number: int) -> dict[str, Value]:
        """Resume an unfinished trial: RUNNING again, with the same number and configuration; returns that."""
        frozen = self._frozen(number)
        if frozen.state is TrialState.WAITING:
            self._storage.set_trial_state_values(self._id(number), TrialState.RUNNING)
        self._live[number] = self._handle(number)
        return self._declared(frozen.params)

    def _handle(self, number: int) -> Trial:
        self._study.sampler = RandomSampler()  # a handle on an existing trial must not cost a suggestion
        return open_trial(self._study, self._id(number))

    def params(self, number: int) -> dict[str, Value]:
        """The configuration of any trial."""
        return self._declared(self._frozen(number).params)

    def _frozen(self, number: int) -> FrozenTrial:
        # By number, not from the list of all trials: the cost of a report must not grow with the study.
        return self._storage.get_trial(self._id(number))

    def _id(self, number: int) -> int:
        return self._storage.get_trial_id_from_study_id_trial_number(self._study_id, number)

    # -- recording -------------------------------------------------------------------------------------------

    def report(self, number: int, step: int, value: float) -> None:
        """Add a point to the trial's curve (single-objective studies only; Optuna has no curves for several)."""
        if len(self.objectives) == 1 and step not in self._frozen(number).intermediate_values:
            self._live[number].report(value, step)

    def note(self, number: int, **notes: Any) -> None:
        """Store facts with a trial: attempts, seconds, error, standard error, ..."""
        for name, value in notes.items():
            self._live[number].set_user_attr(name, value)

    def finish(self, number: int, outcome: Outcome, violations: Mapping[str, float]) -> None:
        """Finish a trial, or pause it (PAUSED) for a later burst."""
        trial = self._live.pop(number)
        if outcome.state is State.PAUSED:
            self._storage.set_trial_state_values(self._id(number), TrialState.WAITING)
            return
        if outcome.error is not None:
            trial.set_user_attr("error", outcome.error)
            trial.set_user_attr("cause", str(outcome.cause or find_cause(outcome.error)))
        for name, distance in violations.items():
            trial.set_constraint(name, distance)
        values = list(outcome.values) if outcome.values is not None else None
        if self._learner is not None:
            self._study.sampler = self._learner
        self._study.tell(number, values, state=_FINAL[outcome.state])

    def judge(self, stopping: Stopping, finished: Sequence[TrialRecord]) -> str:
        """Why the sweep ends now by its rules, in a sentence; "" if it goes on."""
        return stopping.reason(finished, self._study)

    def note_stop(self, reason: str) -> None:
        """Store why the sweep has ended by itself; "" if it has not."""
        if reason != self.stop_reason:
            self._study.set_user_attr("stopped", reason)

    @property
    def stop_reason(self) -> str:
        """Why the sweep has ended by itself, as the last burst stored it; "" if it has not."""
        reason: str = self._study.user_attrs.get("stopped", "")
        return reason

    def void(self, number: int) -> None:
        """Void a trial that a crash left without a complete configuration: it does not count."""
        frozen = self._frozen(number)
        if frozen.state is TrialState.WAITING:
            self._storage.set_trial_state_values(self._id(number), TrialState.RUNNING)
        self._handle(number).set_user_attr("void", True)
        self._study.tell(number, state=TrialState.FAIL)

    # -- reading ---------------------------------------------------------------------------------------------

    def records(self) -> list[TrialRecord]:
        """All trials except void ones, in order."""
        return [self._record(frozen) for frozen in self._trials() if not _is_void(frozen)]

    def _record(self, frozen: FrozenTrial) -> TrialRecord:
        missed = frozen.constraints
        return TrialRecord(
            number=frozen.number,
            state=_SHOWN[frozen.state],
            params=self._declared(frozen.params),
            values=tuple(frozen.values) if frozen.values is not None and frozen.state is TrialState.COMPLETE else None,
            curve=dict(frozen.intermediate_values),
            notes=dict(frozen.user_attrs),
            started=frozen.datetime_start.timestamp() if frozen.datetime_start else None,
            ended=frozen.datetime_complete.timestamp() if frozen.datetime_complete else None,
            feasible=all(value <= 0 for value in missed.values()),
            missed=missed,
        )

    def ended(self) -> dict[int, bool]:
        """Whether each trial has ended, void ones too."""
        return {frozen.number: frozen.state.is_finished() for frozen in self._trials()}

    def find_unfinished(self) -> tuple[list[int], list[int]]:
        """Numbers of the trials to resume, and of those to void (their configuration is incomplete)."""
        whole: list[int] = []
        torn: list[int] = []
        for frozen in self._trials():
            if not frozen.state.is_finished():
                is_whole = self._space.outside(self._declared(frozen.params)) is None
                (whole if is_whole else torn).append(frozen.number)
        return whole, torn

    def curves(self) -> Curves:
        """The curves of all trials as losses, for the schedulers."""
        curves = Curves()
        for frozen in self._trials():
            for step, value in frozen.intermediate_values.items():
                if math.isfinite(value):
                    curves.add(frozen.number, step, self.objectives[0].loss(value))
        return curves

    def importances(self) -> dict[str, float]:
        """Share of each parameter in the first objective (`raybayes.search.outcomes.importance`); empty for several."""
        return {} if len(self.objectives) > 1 else importance_shares(self._trials(), self._study.directions[0])

    def importance_intervals(self, seed: int) -> dict[str, tuple[float, float]]:
        """Bootstrap quantiles of each share; empty where `importances` is."""
        return {} if len(self.objectives) > 1 else importance_intervals(self._trials(), self._study.directions[0], seed)


def _is_void(frozen: FrozenTrial) -> bool:
    """Whether a crash left a trial without a complete configuration."""
    return bool(frozen.user_attrs.get("void"))
