"""The study: asked, reported, ended, put aside and taken up over many openings, and what Optuna sees of it."""

import math
import warnings

import optuna
import pyarrow as pa
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.trial import TrialState

from raybayes.contract import COLUMNS, Action, Metric
from raybayes.errors import SpecError, StoreError
from raybayes.search.objective import Objective
from raybayes.search.outcomes.outcome import Outcome, State, decide_outcome, measure_violations
from raybayes.search.outcomes.records import TrialRecord
from raybayes.search.samplers import make_sampler_factory
from raybayes.search.study.study import Study
from raybayes.search.study.trials_table import trials_table
from raybayes.space import Choice, Float, Int, Space
from raybayes.spec.component import Component
from raybayes.store.logs.reports import FIXED

SPACE = Space(
    {
        "method": Choice("plain", "swag"),
        "lr": Float(0.01, 1.0, log=True),
        "swag.rank": Int(5, 40, step=5, when={"method": "swag"}),
    }
)
LOSS = Objective("loss", "minimize")
SCORE = Objective("score", "maximize")
PLAIN = {"method": "plain", "lr": 0.1}
SWAG = {"method": "swag", "lr": 0.2, "swag.rank": 10}
COMPLETE, PRUNED, PAUSED = Outcome(State.COMPLETE, (0.5,)), Outcome(State.PRUNED), Outcome(State.PAUSED)


@pytest.fixture
def path(tmp_path):
    return str(tmp_path / "study.journal")


@pytest.fixture(params=["journal", "database"])
def place(request, tmp_path):
    """The two homes that a study may have."""
    return str(tmp_path / "study.journal") if request.param == "journal" else f"sqlite:///{tmp_path}/study.db"


def factory(name="random", seed=0, space=SPACE):
    return make_sampler_factory(Component.parse(name), space, seed, 1)


def plain_optuna(path) -> optuna.Study:
    return optuna.load_study(study_name="sweep", storage=JournalStorage(JournalFileBackend(path)))


def reopened(study: Study, place: str, objectives=(LOSS,)) -> Study:
    study.flush()
    return Study(place, SPACE, objectives)


# -- asking ------------------------------------------------------------------------------------------------------


def test_a_conditional_space_is_asked_as_it_is_declared(place):
    study = Study(place, SPACE, (LOSS,))
    asked = [study.ask(factory()) for _ in range(12)]
    assert [number for number, _ in asked] == list(range(12))
    for number, params in asked:
        assert SPACE.outside(params) is None
        assert set(params) == set(SPACE.active(params))
        assert study.params(number) == params
    assert {params["method"] for _, params in asked} == {"plain", "swag"}
    assert {type(params["swag.rank"]) for _, params in asked if "swag.rank" in params} == {int}
    again = reopened(study, place)
    assert [again.params(number) for number, _ in asked] == [params for _, params in asked]


def test_a_given_configuration_is_taken_as_it_is(place):
    study = Study(place, SPACE, (LOSS,))
    assert study.ask(factory(), SWAG, parent=None) == (0, SWAG)
    assert study.ask(factory(), PLAIN, parent=0) == (1, PLAIN)
    number, drawn = study.ask(factory())
    assert number == 2
    assert drawn not in (SWAG, PLAIN)
    assert [record.notes.get("parent") for record in study.records()] == [None, 0, None]


def test_a_range_with_steps_is_asked_without_a_warning(path):
    space = Space({"x": Float(0.0, 0.9, step=0.3), "n": Int(1, 9, step=4)})
    study = Study(path, space, (LOSS,))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        asked = [study.ask(factory(space=space))[1] for _ in range(40)]
    assert {round(params["x"], 9) for params in asked} == {0.0, 0.3, 0.6, 0.9}
    assert {params["n"] for params in asked} == {1, 5, 9}
    assert all(space.outside(params) is None for params in asked)


def test_the_default_configuration_may_have_whole_numbers_for_reals(path):
    study = Study(path, SPACE, (LOSS,))
    _, params = study.ask(factory(), {"method": "plain", "lr": 1})
    assert type(params["lr"]) is float


def test_asking_never_hands_out_a_trial_that_is_put_aside(place):
    study = Study(place, SPACE, (LOSS,))
    study.ask(factory(), SWAG)
    study.finish(0, PAUSED, {})
    assert study.ask(factory(), PLAIN) == (1, PLAIN)
    assert study.ask(factory())[0] == 2
    assert [record.state for record in study.records()] == [State.PAUSED, State.RUNNING, State.RUNNING]
    assert study.resume_trial(0) == SWAG


# -- a life over many openings -----------------------------------------------------------------------------------


def test_a_trial_lives_over_openings(place):
    study = Study(place, SPACE, (LOSS,))
    study.ask(factory(), SWAG)
    study.report(0, 1, 0.9)
    study = reopened(study, place)  # the process died: the trial is RUNNING without anyone who runs it
    assert study.find_unfinished() == ([0], [])
    assert study.resume_trial(0) == SWAG
    study.report(0, 1, 123.0)  # repeated after the last checkpoint: what was reported first stays
    study.report(0, 2, 0.8)
    study.note(0, tries={"0": 2}, node="n1")
    study.finish(0, PAUSED, {})
    study = reopened(study, place)
    assert [record.state for record in study.records()] == [State.PAUSED]
    assert study.find_unfinished() == ([0], [])
    study.resume_trial(0)
    assert [record.state for record in study.records()] == [State.RUNNING]
    study.report(0, 3, 0.7)
    study.finish(0, Outcome(State.COMPLETE, (0.7,)), {})
    study = reopened(study, place)
    (record,) = study.records()
    assert (record.number, record.state, record.params, record.values) == (0, State.COMPLETE, SWAG, (0.7,))
    assert record.curve == {1: 0.9, 2: 0.8, 3: 0.7}
    assert record.notes == {"tries": {"0": 2}, "node": "n1"}
    assert record.ended >= record.started > 1.7e9
    assert study.find_unfinished() == ([], [])
    assert study.ask(factory())[0] == 1


def test_a_trial_without_a_whole_configuration_is_voided(path):
    study = Study(path, SPACE, (LOSS,))
    study.ask(factory(), PLAIN)
    study.flush()
    storage = JournalStorage(JournalFileBackend(path))  # killed between the ask and the last parameter
    torn = optuna.load_study(study_name="sweep", storage=storage).ask()
    torn.suggest_categorical("method", ["plain", "swag"])
    optuna.load_study(study_name="sweep", storage=storage).enqueue_trial({})
    study = Study(path, SPACE, (LOSS,))
    assert study.find_unfinished() == ([0], [1, 2])
    study.void(1)
    study.void(2)
    assert study.find_unfinished() == ([0], [])
    assert [record.number for record in study.records()] == [0]
    assert study.ask(factory())[0] == 3, "a voided number is not used again"
    study = reopened(study, path)
    assert [record.number for record in study.records()] == [0, 3]
    assert plain_optuna(path).trials[1].state is TrialState.FAIL


def test_a_study_of_other_objectives_is_refused(place):
    Study(place, SPACE, (LOSS,)).flush()
    with pytest.raises(StoreError) as caught:
        Study(place, SPACE, (SCORE,))
    for word in (place, "created to minimize", "found maximize score", "start a new sweep"):
        assert word in str(caught.value)
    with pytest.raises(StoreError, match="found minimize loss, maximize score"):
        Study(place, SPACE, (LOSS, SCORE))


def test_a_reader_sees_the_flushed_and_changes_nothing(path, tmp_path):
    study = Study(path, SPACE, (LOSS,))
    study.ask(factory(), PLAIN)
    study.flush()
    study.ask(factory(), SWAG)
    before = (tmp_path / "study.journal").read_bytes()
    assert [record.params for record in Study(path, SPACE, (LOSS,), writer=False).records()] == [PLAIN]
    assert (tmp_path / "study.journal").read_bytes() == before


def test_interrupted_and_resumed_sweeps_suggest_the_same(tmp_path):
    def sweep(place, interrupted):
        study, asked = Study(place, SPACE, (LOSS,)), []
        for i in range(8):
            if interrupted:
                study = reopened(study, place)
            number, params = study.ask(factory("tpe:n_startup_trials=2", seed=5))
            asked.append(params)
            if interrupted and i % 2:
                study.finish(number, PAUSED, {})
                study = reopened(study, place)
                study.resume_trial(number)
            study.report(number, 1, params["lr"])
            study.finish(number, Outcome(State.COMPLETE, (params["lr"],)), {})
        return asked

    assert sweep(str(tmp_path / "a"), False) == sweep(str(tmp_path / "b"), True)


# -- ends are told right -----------------------------------------------------------------------------------------


def test_a_stopped_trial_is_pruned_with_its_whole_curve(path):
    study = Study(path, SPACE, (LOSS,))
    study.ask(factory(), PLAIN)
    for step, loss in enumerate([0.9, 0.8, 0.85], start=1):
        study.report(0, step, loss)
    study.finish(0, decide_outcome(Action.PRUNE, {"loss": 0.85}, (LOSS,)), {})
    study.flush()
    told = plain_optuna(path).trials[0]
    assert told.state is TrialState.PRUNED
    assert told.intermediate_values == {1: 0.9, 2: 0.8, 3: 0.85}, "the report that stopped it included"
    assert told.last_step == 3
    (record,) = study.records()
    assert (record.state, record.values, record.curve) == (State.PRUNED, None, told.intermediate_values)


def test_nan_is_a_failure_and_no_zombie(path):
    study = Study(path, SPACE, (LOSS,))
    study.ask(factory(), PLAIN)
    study.report(0, 1, 0.9)
    study.finish(0, decide_outcome(Action.FAIL, {"loss": math.nan}, (LOSS,)), {})
    study.ask(factory(), SWAG)
    study.finish(1, decide_outcome(Action.CONTINUE, {"loss": 0.3}, (LOSS,), error="CUDA out of memory"), {})
    study.flush()
    assert [trial.state for trial in plain_optuna(path).trials] == [TrialState.FAIL, TrialState.FAIL]
    assert [record.notes["error"] for record in study.records()] == ["loss was reported as nan", "CUDA out of memory"]
    assert Study(path, SPACE, (LOSS,)).find_unfinished() == ([], [])


def test_constraints_reach_optuna(path):
    study = Study(path, SPACE, (LOSS,))
    for loss, seconds in ((0.1, 90.0), (0.3, 50.0), (0.2, 60.0), (0.05, None)):
        number, _ = study.ask(factory())
        metrics = {"loss": loss} | ({} if seconds is None else {"seconds": seconds})
        study.finish(number, Outcome(State.COMPLETE, (loss,)), measure_violations({"seconds": "<= 60"}, metrics))
    study.flush()
    assert plain_optuna(path).best_trial.number == 2, "the best one that keeps the bound"
    assert [record.feasible for record in study.records()] == [False, True, True, False]


def test_several_objectives_have_values_and_a_front_but_no_curve(place):
    study = Study(place, SPACE, (LOSS, SCORE))
    for loss, score in ((0.1, 1.0), (0.2, 2.0), (0.3, 0.5)):
        number, _ = study.ask(make_sampler_factory(Component.parse("nsga2"), SPACE, 0, 2))
        study.report(number, 1, loss)  # Optuna keeps no curve here, and refuses none of ours
        study.finish(number, Outcome(State.COMPLETE, (loss, score)), {})
    study = reopened(study, place, (LOSS, SCORE))
    assert [record.values for record in study.records()] == [(0.1, 1.0), (0.2, 2.0), (0.3, 0.5)]
    assert [record.curve for record in study.records()] == [{}, {}, {}]
    assert [trial.number for trial in study._study.best_trials] == [0, 1]
    assert study.importances() == {}


def test_curves_are_losses(path):
    study = Study(path, SPACE, (SCORE,))
    for number in range(2):
        study.ask(factory(), PLAIN)
        study.report(number, 1, 10.0 + number)
    study.report(0, 2, 12.0)
    curves = study.curves()
    assert dict(curves.by_step) == {1: {0: -10.0, 1: -11.0}, 2: {0: -12.0}}
    assert dict(curves.by_trial) == {0: {1: -10.0, 2: -12.0}, 1: {1: -11.0}}


def test_importances_name_what_matters(path):
    space = Space({"x": Float(0.0, 1.0), "y": Float(0.0, 1.0)})
    study = Study(path, space, (LOSS,))
    assert study.importances() == {}
    for _ in range(40):
        number, params = study.ask(factory(space=space))
        study.finish(number, Outcome(State.COMPLETE, (params["x"] ** 2,)), {})
    found = study.importances()
    assert set(found) == {"x", "y"}
    assert found["x"] > 0.8
    assert sum(found.values()) == pytest.approx(1.0)


@pytest.mark.parametrize("space", [Space({}), Space({"n": Int(3, 3)})])
def test_importances_of_nothing_are_empty(path, space):
    study = Study(path, space, (LOSS,))
    for i in range(5):
        number, _ = study.ask(factory(space=space))
        study.finish(number, Outcome(State.COMPLETE, (float(i),)), {})
    assert sum(study.importances().values()) in (0.0, pytest.approx(1.0))


# -- the table of trials -----------------------------------------------------------------------------------------

WIDE = Space(
    {
        "lr": Float(0.0, 1.0),
        "n": Int(1, 9),
        "kind": Choice("a", None),
        "on": Choice(True, False),
        "power": Choice(1, 2),
        "share": Choice(1, 0.5, None),
        "either": Choice("auto", 3),
        "flag": Choice(True, 2),
        "inner.k": Int(1, 2, when={"kind": "a"}),
    }
)
TYPES = {
    "trial": pa.int64(),
    "state": pa.string(),
    "feasible": pa.bool_(),
    "steps": pa.int64(),
    "loss": pa.float64(),
    "n": pa.int64(),
    "config.lr": pa.float64(),
    "config.n": pa.int64(),
    "config.kind": pa.string(),
    "config.on": pa.bool_(),
    "config.power": pa.int64(),
    "config.share": pa.float64(),
    "config.either": pa.string(),
    "config.flag": pa.string(),
    "config.inner.k": pa.int64(),
    "seconds": pa.float64(),
    "started": pa.float64(),
    "ended": pa.float64(),
    "node": pa.string(),
    "attempts": pa.int64(),
    "failure": pa.string(),
}
CONFIG = {"lr": 1, "n": 2, "kind": None, "on": False, "power": 2, "share": 1, "either": 3, "flag": True}


def test_the_columns_of_the_table_do_not_depend_on_the_trials():
    done = TrialRecord(
        3,
        State.COMPLETE,
        CONFIG,
        (0.25,),
        {1: 0.5, 4: 0.25},
        {"seconds": 2, "node": "n1", "tries": {"0": 1, "1": 2}},
        10.0,
        20.0,
    )
    for records in ([], [done], [done, TrialRecord(4, State.RUNNING, {}, None, {})]):
        table = trials_table(records, WIDE, (LOSS,))
        assert dict(zip(table.column_names, table.schema.types, strict=True)) == TYPES
        assert table.num_rows == len(records)
    row = trials_table([done], WIDE, (LOSS,)).to_pylist()[0]
    assert row == {
        **{"trial": 3, "state": "COMPLETE", "feasible": True, "steps": 4, "loss": 0.25, "n": 1},
        **{"config.lr": 1.0, "config.n": 2, "config.kind": None, "config.on": False, "config.power": 2},
        **{"config.share": 1.0, "config.either": "3", "config.flag": "True", "config.inner.k": None},
        **{"seconds": 2.0, "started": 10.0, "ended": 20.0, "node": "n1", "attempts": 3, "failure": None},
    }


def test_the_table_shows_how_far_a_trial_came_and_how_sure_a_mean_is():
    records = [
        TrialRecord(0, State.PRUNED, {}, None, {1: 0.9, 2: 0.8}),
        TrialRecord(1, State.FAIL, {}, None, {}, {"error": "ValueError: no", "steps": 7}, feasible=True),
        TrialRecord(2, State.COMPLETE, {}, (0.5,), {}, {"se": {"loss": 0.1}}, feasible=False),
    ]
    table = trials_table(records, Space({}), (LOSS,))
    assert table["loss"].to_pylist() == [0.8, None, 0.5]
    assert table["loss.se"].to_pylist() == [None, None, 0.1]
    assert table["steps"].to_pylist() == [2, 7, 0]
    assert table["failure"].to_pylist() == [None, "ValueError: no", None]
    assert table["feasible"].to_pylist() == [True, True, False]


def test_no_metric_takes_the_name_of_a_column():
    """Where a metric could, its values would be lost: "error" is a common name of one, and free for it."""
    fixed = {name for name in TYPES if not name.startswith("config.")} - {"loss"} | set(FIXED.names)
    assert fixed == COLUMNS
    for name in [*sorted(fixed), "config.lr", "loss.se", "loss.searched"]:
        with pytest.raises(SpecError, match=f"a metric cannot be called '{name}'.*choose another one"):
            Metric(name, "minimize")
    records = [TrialRecord(0, State.FAIL, {}, None, {1: 0.5}, {"error": "ValueError: no"})]
    table = trials_table(records, Space({}), (Objective("error", "minimize"),))
    assert (table["error"].to_pylist(), table["failure"].to_pylist()) == ([0.5], ["ValueError: no"])


def test_the_table_of_several_objectives():
    records = [TrialRecord(0, State.COMPLETE, {}, (0.5, 3.0), {}), TrialRecord(1, State.PRUNED, {}, None, {})]
    table = trials_table(records, Space({}), (LOSS, SCORE))
    assert table.select(["loss", "score"]).to_pylist() == [{"loss": 0.5, "score": 3.0}, {"loss": None, "score": None}]
