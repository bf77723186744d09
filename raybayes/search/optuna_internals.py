"""Every private name of Optuna that raybayes depends on, each checked with Optuna 5.0.0.

`tests/search/test_optuna_internals.py` uses each of them with the installed Optuna, so that an upgrade which moves one
fails there and not in a sweep. Everything else that raybayes uses of Optuna is public.
"""

from __future__ import annotations

import copy
from collections.abc import Container, Sequence

import optuna
from optuna.samplers import TPESampler
from optuna.search_space import IntersectionSearchSpace
from optuna.storages.journal._storage import JournalOperation
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

CHECKED_WITH = "5.0.0"

# The operations of a journal, by the number that a line names as its "op_code". A trial has no name in the line that
# creates it: trials are counted.
OPERATIONS = frozenset(int(operation) for operation in JournalOperation)
CREATE_STUDY, CREATE_TRIAL = int(JournalOperation.CREATE_STUDY), int(JournalOperation.CREATE_TRIAL)


def open_trial(study: optuna.Study, trial_id: int) -> Trial:
    """A handle on a trial that the storage has already. `Study.ask`, the public way, always chooses the trial itself.

    Private: the constructor `Trial(study, trial_id)`, which lets the study's sampler begin the trial.
    """
    return Trial(study, trial_id)


def forget_cached_trials(study: optuna.Study) -> None:
    """Let the study read its trials from the storage again, as `Study.ask` does before a new trial.

    Private: `Study._thread_local.cached_all_trials`.
    """
    study._thread_local.cached_all_trials = None


def share_search_space(sampler: TPESampler, space: IntersectionSearchSpace) -> None:
    """Let a new sampler use the search space that earlier ones of this study have worked out.

    It remembers which trials it has seen. A new one per suggestion would look at all of them again, which was a third
    of the time that a suggestion takes at 2,000 trials.

    Private: `TPESampler._search_space`, made there as `IntersectionSearchSpace(include_pruned=True)`.
    """
    sampler._search_space = space


class ExtendedStudy(optuna.Study):
    """A study that shows its sampler other trials than its storage has.

    Private: `Study._get_trials`, through which samplers read a study.
    """

    def shown_trials(self, own: Sequence[FrozenTrial], states: Container[TrialState] | None) -> Sequence[FrozenTrial]:
        """The trials to show, by number.

        Args:
            own: the study's own trials in `states`.
            states: what is asked for; None for all.
        """
        raise NotImplementedError

    def own_trials(self) -> list[FrozenTrial]:
        """All trials of the storage, whatever is shown. They must not be changed."""
        return super()._get_trials(deepcopy=False, use_cache=True)

    def _get_trials(
        self, deepcopy: bool = True, states: Container[TrialState] | None = None, use_cache: bool = False
    ) -> list[FrozenTrial]:
        return list(self.shown_trials(super()._get_trials(deepcopy, states, use_cache), states))


class FinishedTrials:
    """Finished trials of one objective as an importance evaluator reads a study, in memory.

    Private: `Study._is_multi_objective`, which PED-ANOVA calls beside the public `directions` and `get_trials`.
    """

    def __init__(self, trials: Sequence[FrozenTrial], direction: StudyDirection) -> None:
        self._trials = list(trials)
        self.directions = [direction]

    def get_trials(self, deepcopy: bool = True, states: Sequence[TrialState] | None = None) -> list[FrozenTrial]:
        return self._trials

    def _is_multi_objective(self) -> bool:
        return False


def as_distinct_trials(trials: Sequence[FrozenTrial]) -> list[FrozenTrial]:
    """Copies with ids of their own: a resample holds some trials several times, and PED-ANOVA counts by id.

    Private: `FrozenTrial._trial_id`.
    """
    copies = [copy.copy(trial) for trial in trials]
    for i, trial in enumerate(copies):
        trial._trial_id = i
    return copies
