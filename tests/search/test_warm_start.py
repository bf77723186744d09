"""What earlier sweeps give to a new one."""

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raybayes.search.objective import Objective
from raybayes.search.outcomes.outcome import State
from raybayes.search.outcomes.records import TrialRecord
from raybayes.search.samplers import make_sampler_factory
from raybayes.search.study.study import Study
from raybayes.search.study.transfer_study import PastTrial, quantile
from raybayes.search.warm_start import MIN_DISTANCE, EarlierSweep, WarmStart, build_warm_start, distance
from raybayes.space import Choice, Float, Int, Space
from raybayes.spec.component import Component

SPACE = Space({"x": Float(0.0, 1.0), "y": Float(1e-4, 1.0, log=True), "k": Choice("a", "b", None),
               "n": Int(1, 5, when={"k": "a"})})  # fmt: skip
LOSS = Objective("loss", "minimize")


def sweep(path, values, same=True, **params):
    base = {"y": 0.1, "k": "b", **params}
    records = [TrialRecord(i, State.COMPLETE, {"x": x, **base}, (loss,), {}) for i, (x, loss) in enumerate(values)]
    return EarlierSweep(path, same, records)


def test_the_best_of_each_comes_before_the_second_of_any_and_near_ones_are_skipped():
    one = sweep("one", [(0.1, 3.0), (0.9, 1.0), (0.88, 2.0)])
    other = sweep("other", [(0.5, 70.0), (0.0, 80.0)], same=False, k=None)
    found = build_warm_start([one, other], SPACE, [LOSS], {"x": 0.0, "y": 1e-4, "k": "a", "n": 1}, most=3)
    assert [point["x"] for point in found.portfolio] == [0.9, 0.5, 0.0]
    assert found.sources == ("one", "other")
    everything = build_warm_start([one, other], SPACE, [LOSS], None, most=9).portfolio
    gaps = [distance(SPACE, a, b) for i, a in enumerate(everything) for b in everything[:i]]
    assert min(gaps) >= MIN_DISTANCE


def test_values_of_another_task_become_standings():
    other = sweep("a", [(0.1, 30.0), (0.2, 10.0), (0.3, 20.0), (0.4, 20.0)], same=False)
    found = build_warm_start([other], SPACE, [LOSS], None, 2)
    assert [past.standing for past in found.past] == [(0.875,), (0.125,), (0.5,), (0.5,)]
    assert {past.values for past in found.past} == {None}
    same = build_warm_start([sweep("a", [(0.1, 30.0)])], SPACE, [LOSS], None, 2)
    assert same.past[0].values == (30.0,)


def test_pruned_failed_and_infeasible_trials_say_nothing():
    records = [TrialRecord(0, State.PRUNED, {"x": 0.1}, None, {1: 2.0}),
               TrialRecord(1, State.COMPLETE, {"x": 0.2}, (1.0,), {}, feasible=False)]  # fmt: skip
    assert build_warm_start([EarlierSweep("a", True, records)], SPACE, [LOSS], None, 5) == WarmStart(sources=("a",))


@pytest.mark.parametrize(("same", "values"), [(True, (3.0,)), (False, None)])
def test_what_ran_out_of_memory_is_worse_than_all_others(same, values):
    records = [
        *[TrialRecord(n, State.COMPLETE, {"x": 0.1 * n}, (float(n),), {}) for n in range(1, 4)],
        TrialRecord(4, State.FAIL, {"x": 0.4}, None, {}, notes={"error": "MemoryError"}),
        TrialRecord(5, State.FAIL, {"x": 0.5}, None, {}, notes={"error": "OSError: stale", "cause": "exception"}),
        TrialRecord(6, State.FAIL, {"x": 0.6}, None, {}, notes={"error": "its worker was lost once; ..."}),
    ]
    found = build_warm_start([EarlierSweep("a", same, records)], SPACE, [LOSS], None, 9)
    assert found.past[3:] == (PastTrial({"x": 0.4}, values, (1.0,)),)
    assert {"x": 0.4} not in found.portfolio


def test_distance_by_hand():
    a = {"x": 0.0, "y": 1e-4, "k": "a", "n": 1}
    assert distance(SPACE, a, a) == 0
    assert distance(SPACE, a, {**a, "x": 0.5}) == pytest.approx(0.5 / 4)
    assert distance(SPACE, a, {**a, "y": 1e-2}) == pytest.approx(0.5 / 4)
    assert distance(SPACE, a, {"x": 0.0, "y": 1e-4, "k": "b"}) == pytest.approx(2 / 4)


@given(st.lists(st.floats(-5, 5), min_size=1, max_size=9), st.floats(0, 1))
def test_quantiles_are_numpys(values, share):
    ladder = sorted(values)
    assert quantile(ladder, share) == pytest.approx(np.quantile(ladder, share, method="hazen"), abs=1e-12)
    assert quantile([], share) == share


def test_it_survives_the_disk():
    found = build_warm_start(
        [sweep("one", [(0.1, 3.0), (0.9, 1.0)]), sweep("two", [(0.3, 1.0)], False)], SPACE, [LOSS], None, 5
    )
    assert WarmStart.from_json(found.to_json()) == found
    assert json.loads(found.to_json())["schema"] == 1


def test_the_sampler_is_informed_and_the_study_is_not_changed(tmp_path):
    past = [PastTrial({"x": x / 40, "y": 0.1, "k": "b"}, (abs(x / 40 - 0.7),), (0.5,)) for x in range(40)]
    factory = make_sampler_factory(Component(name="tpe"), SPACE, 0, 1)
    informed = Study(str(tmp_path / "a"), SPACE, [LOSS], past=past)
    asked = [informed.ask(factory)[1] for _ in range(30)]
    plain = Study(str(tmp_path / "b"), SPACE, [LOSS])
    blind = [plain.ask(factory)[1] for _ in range(30)]
    near = [np.mean([abs(params["x"] - 0.7) for params in found]) for found in (asked, blind)]
    assert near[0] < 0.6 * near[1]
    assert [record.number for record in informed.records()] == list(range(30)), "earlier trials are not this study's"


@pytest.mark.parametrize("name", ["tpe", "gp", "cmaes", "nsga2", "random"])
def test_every_sampler_bears_it(tmp_path, name):
    space = Space({"x": Float(0.0, 1.0), "n": Int(1, 9)})
    past = [PastTrial({"x": x / 12, "n": 1 + x % 9}, None, ((x + 0.5) / 12,)) for x in range(12)]
    study = Study(str(tmp_path / "a"), space, [LOSS], past=past)
    factory = make_sampler_factory(Component(name=name), space, 0, 1)
    assert all(space.outside(study.ask(factory)[1]) is None for _ in range(3))
