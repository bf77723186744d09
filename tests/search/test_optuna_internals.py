"""Each private name of Optuna that raybayes uses is where it was, and nothing else private is used."""

import ast
from pathlib import Path

import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.samplers import RandomSampler, TPESampler
from optuna.search_space import IntersectionSearchSpace
from optuna.study import StudyDirection
from optuna.trial import TrialState, create_trial

from raybayes.search import optuna_internals
from raybayes.search.optuna_internals import (
    CHECKED_WITH,
    ExtendedStudy,
    FinishedTrials,
    as_distinct_trials,
    forget_cached_trials,
    open_trial,
    share_search_space,
)

SEARCH = Path(optuna_internals.__file__).parent


@pytest.fixture
def study():
    return optuna.create_study(sampler=RandomSampler(seed=0))


def new_trial(study):
    return study._storage.create_new_trial(study._study_id)


def finished(value):
    return create_trial(params={"x": value}, distributions={"x": FloatDistribution(0, 1)}, value=value)


def test_the_version_is_the_one_that_was_checked():
    message = "Optuna has another version: run these tests with it, then change CHECKED_WITH and the module's docstring"
    assert optuna.__version__.split(".")[:2] == CHECKED_WITH.split(".")[:2], message
    assert CHECKED_WITH in optuna_internals.__doc__


def test_a_trial_of_the_storage_can_be_opened(study):
    trial = open_trial(study, new_trial(study))
    assert trial.number == 0
    trial.report(0.5, 1)
    assert study.trials[0].intermediate_values == {1: 0.5}


def test_forgotten_trials_are_read_again(study):
    assert study._get_trials(use_cache=True) == []
    new_trial(study)
    assert study._get_trials(use_cache=True) == [], "else the cache is gone, and nothing needs to be forgotten"
    forget_cached_trials(study)
    assert len(study._get_trials(use_cache=True)) == 1


def test_samplers_share_what_they_know_of_the_search_space(study):
    made = TPESampler(seed=0, multivariate=True)
    assert type(made._search_space) is IntersectionSearchSpace
    seen = []

    class Counting(IntersectionSearchSpace):
        def calculate(self, study, *args, **kwargs):
            seen.append(study)
            return super().calculate(study, *args, **kwargs)

    share_search_space(made, Counting(include_pruned=True))
    study.sampler = made
    study.ask().suggest_float("x", 0, 1)
    assert seen == [study]


def test_a_sampler_reads_the_extra_trials():
    class Doubled(ExtendedStudy):
        def shown_trials(self, own, states):
            return [finished(0.5)]

    made = optuna.create_study(study_name="a")
    study = Doubled("a", made._storage, sampler=RandomSampler())
    assert [trial.value for trial in study._get_trials(states=(TrialState.COMPLETE,))] == [0.5]
    assert [trial.value for trial in study.get_trials()] == [0.5]


def test_importances_read_finished_trials_and_count_by_id():
    trials = [finished(0.1 * i) for i in range(10)]
    resample = as_distinct_trials([*trials, *trials])
    assert len({trial._trial_id for trial in resample}) == 20
    assert len({trial._trial_id for trial in trials}) == 1, "else made trials have ids of their own"
    study = FinishedTrials(resample, StudyDirection.MINIMIZE)
    found = optuna.importance.get_param_importances(study, evaluator=optuna.importance.PedAnovaImportanceEvaluator())
    assert found == {"x": 1.0}


def test_the_storage_calls_that_are_public_stay_public():
    names = (
        "create_new_trial", "get_study_id_from_name", "get_trial_id_from_study_id_trial_number", "get_trial",
        "set_trial_state_values", "set_trial_system_attr",
    )  # fmt: skip
    assert [name for name in names if not hasattr(optuna.storages.BaseStorage, name)] == []


@pytest.mark.parametrize("file", sorted(SEARCH.rglob("*.py")), ids=lambda file: str(file.relative_to(SEARCH)))
def test_no_other_file_reaches_into_optuna(file):
    if file.name == "optuna_internals.py":
        return
    reached = [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.Attribute)
        and node.attr.startswith("_")
        and not node.attr.startswith("__")
        and not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls"))
    ]
    assert reached == [], "private names belong into optuna_internals.py"
