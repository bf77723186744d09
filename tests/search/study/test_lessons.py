"""What a sampler sees of failed trials, and what the study keeps of them."""

import numpy as np
import optuna
import pytest
from optuna.samplers import BaseSampler, TPESampler
from optuna.trial import TrialState

from raybayes.search.objective import Objective
from raybayes.search.outcomes.outcome import Outcome, State
from raybayes.search.samplers import make_sampler_factory
from raybayes.search.study.lessons import distance_matrix
from raybayes.search.study.study import Study
from raybayes.search.study.transfer_study import PastTrial
from raybayes.search.warm_start import distance
from raybayes.space import Choice, Float, Int, Space
from raybayes.spec.component import Component

SPACE = Space({"x": Float(0.0, 1.0)})
LOSS, SCORE = Objective("loss", "minimize"), Objective("score", "maximize")
MEMORY, CRASH, LOST = "torch.OutOfMemoryError: CUDA out of memory", "OSError: stale", "its worker was lost once; ..."


class Spy(BaseSampler):
    """Keeps what it is shown."""

    def __init__(self) -> None:
        self.seen: dict[int, tuple[str, object]] = {}

    def infer_relative_search_space(self, study, trial):
        shown = study.get_trials(deepcopy=False)
        assert shown == sorted(shown, key=lambda t: t.number)
        for states in ((TrialState.COMPLETE,), (TrialState.COMPLETE, TrialState.PRUNED), (TrialState.FAIL,)):
            wanted = [t for t in shown if t.state in states]
            assert study._get_trials(states=states, use_cache=True) == wanted
        self.seen = {t.number: (t.state.name, t.values) for t in shown if t.number != trial.number}
        return {}

    def sample_relative(self, study, trial, search_space):
        return {}

    def sample_independent(self, study, trial, param_name, param_distribution):
        return 0.5


class SpyingTPE(Spy, TPESampler):
    def __init__(self) -> None:
        TPESampler.__init__(self)
        Spy.__init__(self)


def filled(path, ends, objectives=(LOSS,), past=()):
    """A study whose trials have ended so: (x, values or an error)."""
    study = Study(str(path), SPACE, objectives, past=past)
    for x, end in ends:
        number, _ = study.ask(lambda n: Spy(), {"x": x})
        study.finish(number, Outcome(State.FAIL, error=end) if isinstance(end, str) else
                     Outcome(State.COMPLETE, end), {})  # fmt: skip
    return study


def seen(study, sampler):
    number, _ = study.ask(lambda n: sampler)
    study.finish(number, Outcome(State.PRUNED), {})
    return sampler.seen


def test_tpe_sees_failures_as_pruned_without_reports_but_for_those_of_the_machine(tmp_path):
    study = filled(
        tmp_path / "s", [(0.1, (3.0,)), (0.2, MEMORY), (0.3, CRASH), (0.4, LOST), (0.5, "loss was reported as nan")]
    )
    assert seen(study, SpyingTPE()) == {
        0: ("COMPLETE", [3.0]), 1: ("PRUNED", None), 2: ("PRUNED", None), 3: ("FAIL", None), 4: ("PRUNED", None),
    }  # fmt: skip
    assert [r.state for r in study.records()][:5] == [State.COMPLETE] + 4 * [State.FAIL], "the study keeps the truth"
    study.flush()
    again = Study(str(tmp_path / "s"), SPACE, (LOSS,))  # a resumed sweep
    assert seen(again, SpyingTPE())[1] == ("PRUNED", None)


def test_others_see_the_worst_where_the_configuration_is_to_blame_and_else_the_median(tmp_path):
    ends = [(0.1, (3.0,)), (0.2, (1.0,)), (0.3, (2.0,)), (0.5, MEMORY), (0.35, CRASH), (0.9, LOST)]
    found = seen(filled(tmp_path / "s", ends), Spy())
    assert (found[3], found[4], found[5]) == (("COMPLETE", [3.0]), ("COMPLETE", [2.0]), ("FAIL", None))


def test_a_crash_among_crashes_is_bad(tmp_path):
    ends = [(0.1, (3.0,)), (0.2, (1.0,)), (0.3, (2.0,)), (0.15, CRASH), *[(0.9 + i / 100, CRASH) for i in range(5)]]
    found = seen(filled(tmp_path / "s", ends), Spy())
    assert found[3] == ("COMPLETE", [2.0])
    assert [found[n] for n in range(4, 9)] == 5 * [("COMPLETE", [3.0])]


def test_nothing_is_shown_before_there_is_a_value(tmp_path):
    assert seen(filled(tmp_path / "s", [(0.1, MEMORY)]), Spy()) == {0: ("FAIL", None)}


@pytest.mark.parametrize("sampler", [Spy, SpyingTPE])
def test_several_objectives_are_each_the_worst(tmp_path, sampler):
    ends = [(0.1, (3.0, 0.5)), (0.2, (1.0, 0.9)), (0.3, MEMORY)]
    study = filled(tmp_path / "s", ends, (LOSS, SCORE))
    assert seen(study, sampler())[2] == ("COMPLETE", [3.0, 0.5])


def test_earlier_sweeps_and_failures_are_seen_together(tmp_path):
    past = [PastTrial({"x": 0.7}, (9.0,), (0.5,))]
    found = seen(filled(tmp_path / "s", [(0.1, (3.0,)), (0.2, MEMORY)], past=past), Spy())
    assert found == {-1: ("COMPLETE", [9.0]), 0: ("COMPLETE", [3.0]), 1: ("COMPLETE", [3.0])}


@pytest.mark.parametrize("objectives", [(LOSS,), (LOSS, SCORE)], ids=["one", "two"])
@pytest.mark.parametrize("name", ["tpe", "cmaes", "nsga2:population_size=4", "gp:n_startup_trials=3"])
def test_every_sampler_works_with_failures_and_stays_away_from_a_wall(tmp_path, name, objectives):
    if name == "cmaes" and len(objectives) > 1:
        pytest.skip("one objective")
    make = make_sampler_factory(Component.parse(name), SPACE, 3, len(objectives))
    study = Study(str(tmp_path / "s"), SPACE, objectives)
    failed = []
    for _ in range(12 if name.startswith("gp") else 40):
        number, params = study.ask(make)
        bad = params["x"] > 0.6
        failed.append(bad)
        values = (1 - params["x"], params["x"])[: len(objectives)]
        study.finish(number, Outcome(State.FAIL, error=MEMORY) if bad else Outcome(State.COMPLETE, values), {})
    assert sum(failed[len(failed) // 2 :]) < 0.8 * len(failed) / 2  # it was all of them


def test_distances_are_those_of_warm_starts():
    space = Space({
        "kind": Choice("a", "b", "c"), "lr": Float(1e-4, 1.0, log=True), "n": Int(1, 9), "one": Float(2.0, 2.0),
        "rank": Int(1, 50, when={"kind": "a"}), "mode": Choice(1, 2, when={"kind": "b"}),
    })  # fmt: skip
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=0))
    for _ in range(20):
        trial = study.ask()
        kind = trial.suggest_categorical("kind", ["a", "b", "c"])
        trial.suggest_float("lr", 1e-4, 1, log=True)
        trial.suggest_int("n", 1, 9)
        trial.suggest_float("one", 2.0, 2.0)
        if kind == "a":
            trial.suggest_int("rank", 1, 50)
        if kind == "b":
            trial.suggest_categorical("mode", [1, 2])
        study.tell(trial, 0.0)
    trials = study.trials
    found = distance_matrix(space, trials[:5], trials)
    wanted = [[distance(space, one.params, other.params) for other in trials] for one in trials[:5]]
    assert np.allclose(found, wanted)
    assert found.max() > 0.5
