"""When a sweep ends by itself: rules against what can be computed otherwise, and sweeps that stop and go on."""

import json
import math

import numpy as np
import pytest

import raybayes as rb
from raybayes.cli.main import main
from raybayes.contract import Direction
from raybayes.search.objective import Objective
from raybayes.search.outcomes.outcome import State
from raybayes.search.outcomes.pareto import hypervolume
from raybayes.search.outcomes.records import TrialRecord
from raybayes.search.stopping import noise_of_neighbours, plateau

LOSS = Objective("loss", "minimize")
LINE = rb.Space({"x": rb.Float(0, 1)})
TWO = rb.Space({"x": rb.Float(0, 1), "y": rb.Float(1e-3, 1, log=True)})


def records(values, places=None, **notes):
    places = places if places is not None else [{"x": 0.5}] * len(values)
    return [
        TrialRecord(n, State.COMPLETE, params, (value,), {}, notes, ended=float(n))
        for n, (value, params) in enumerate(zip(values, places, strict=True))
    ]


class TestPlateau:
    def test_it_counts_from_the_last_improvement(self):
        assert plateau(records([3, 2, 2, 2, 2]), LOSS, LINE, 4) == ""
        assert plateau(records([3, 2, 2, 2, 2]), LOSS, LINE, 3).startswith("none of the last 3 finished trials")
        up: Direction = "maximize"
        assert plateau(records([1, 2, 3, 4]), Objective("acc", up), LINE, 2) == ""
        assert plateau(records([4, 3, 2, 1]), Objective("acc", up), LINE, 3)

    def test_a_step_within_the_standard_error_is_none_until_steps_add_up(self):
        small = records([1.0, 0.99, 0.98], se={"loss": 0.1})
        assert "by more than its noise, 0.14" in plateau(small, LOSS, LINE, 2)
        assert plateau(records([1.0, 0.93, 0.85], se={"loss": 0.1}), LOSS, LINE, 1) == ""

    def test_pruned_trials_count_and_failed_ones_do_not(self):
        done = records([1.0])
        pruned = [TrialRecord(n, State.PRUNED, {}, None, {}, ended=float(n)) for n in (1, 2)]
        failed = [TrialRecord(n, State.FAIL, {}, None, {}, ended=float(n)) for n in (3, 4)]
        assert "last 2 finished" in plateau([*done, *pruned, *failed], LOSS, LINE, 2)
        assert plateau([*done, *failed], LOSS, LINE, 1) == ""


class TestNoise:
    @pytest.mark.parametrize("sigma", [0.02, 0.2])
    def test_it_is_that_of_a_noisy_function(self, sigma):
        found = []
        for seed in range(10):
            rng = np.random.default_rng(seed)
            places = [{"x": x, "y": 10 ** (-3 * y)} for x, y in rng.uniform(size=(200, 2))]
            values = [p["x"] ** 2 + 0.1 * math.log10(p["y"]) + sigma * rng.normal() for p in places]
            # All trials, not the better half, whose noise is selected: each appears with a much worse one.
            worse = [v + 100 for v in values]
            found.append(noise_of_neighbours(records([*values[:150], *worse[:149]], [*places[:150], *places[:149]]),
                                             LOSS, TWO))  # fmt: skip
        assert np.mean(found) == pytest.approx(sigma, rel=0.15)

    def test_it_is_nearly_none_for_a_smooth_function(self):
        rng = np.random.default_rng(0)
        places = [{"x": x} for x in rng.uniform(size=100)]
        assert noise_of_neighbours(records([p["x"] for p in places], places), LOSS, LINE) < 0.005
        assert noise_of_neighbours(records([1.0] * 5), LOSS, LINE) == 0.0


@pytest.mark.parametrize("objectives", [2, 3, 4])
def test_the_hypervolume_is_the_share_of_points_that_are_dominated(objectives):
    rng = np.random.default_rng(objectives)
    losses, worst = rng.uniform(size=(12, objectives)), np.full(objectives, 0.9)
    sample = 0.9 * rng.uniform(size=(200_000, objectives))
    inside = (losses[:, None] <= sample[None]).all(axis=2).any(axis=0)
    assert hypervolume(losses, worst) == pytest.approx(inside.mean() * 0.9**objectives, abs=0.005)
    assert hypervolume(losses + 1, worst) == 0.0


def search(function, trials=60, **options):
    return rb.simulate(function, LINE, trials=trials, sampler="random", **options).sweep


class TestSweeps:
    def test_a_target_ends_it(self):
        found = search(lambda config: config["x"], stop_when="target:<=0.1")
        values = found.trials["loss"].to_pylist()
        assert values[-1] <= 0.1 < min(values[:-1])
        assert found.stop_reason.startswith(f"target:<=0.1: trial {len(values) - 1} reached loss 0.0")

    def test_a_target_on_the_wrong_side_is_refused_or_said(self):
        with pytest.raises(
            rb.SpecError, match=r"target:>=0.1 is on the wrong side: loss is to minimize; write target:<="
        ):
            search(lambda config: config["x"], stop_when="target:>=0.1")
        found = search(lambda config: config["x"], stop_when="target:2")
        assert "every finished trial does; loss is to minimize, so this means <=" in found.stop_reason

    def test_a_budget_counts_the_hours_of_all_trials(self):
        def curve(config):
            yield from ({"loss": 1.0, "seconds": 600} for _ in range(6))

        found = search(curve, budget="3cpuh", workers=2)
        last = {row["trial"]: row["seconds"] for row in found.reports.to_pylist()}
        assert 3 <= sum(last.values()) / 3600 < 3.4, "a report more, while both workers stop"
        assert found.trials["state"].to_pylist() == ["COMPLETE", "COMPLETE", "PAUSED", "PAUSED"]
        assert found.stop_reason.startswith("budget 3cpuh: its trials have trained for 3")
        with pytest.raises(rb.SpecError, match="budget: 3gpuh with trials that use no GPU"):
            search(curve, budget="3gpuh")

    def test_several_objectives_have_the_hypervolume(self):
        both = {"loss": "minimize", "size": "maximize"}

        def front(config):
            return {"loss": round(config["x"]), "size": round(config["x"])}

        found = search(front, objective=both, stop_when="hypervolume:10")
        assert "hypervolume:10: the last 10 finished trials enlarged" in found.stop_reason or len(found.trials) == 60
        with pytest.raises(rb.SpecError, match="plateau:10 needs one objective, found loss, size; use hypervolume:30"):
            search(front, objective=both, stop_when="plateau:10")
        with pytest.raises(rb.SpecError, match="hypervolume:10 needs several objectives, found loss; use plateau:10"):
            search(lambda config: 1.0, stop_when="hypervolume:10")

    def test_optunas_bound_on_the_regret_ends_it(self):
        found = search(lambda config: (config["x"] - 0.3) ** 2, stop_when="regret:0.5")
        assert len(found.trials) == 20
        assert found.stop_reason.startswith("regret:0.5: Optuna's bound on the regret is")


def test_a_resume_stops_where_it_stopped_and_goes_on_when_told(tmp_path, capsys):
    options = ["--storage", str(tmp_path), "--name", "s", "--local", "-s", "steps=1", "--sampler", "random"]
    assert main(["sweep", "parabola", "--trials", "30", "--stop-when", "plateau:4", *options]) == 0
    path = str(tmp_path / "s")
    said = "".join(capsys.readouterr().out.split())
    assert f"stoppedbyplateau:4:noneofthelast4finishedtrialsimprovedloss;goonwith:raybayesresume{path}" in said
    stopped = len(rb.open_sweep(path).trials)
    assert 5 <= stopped < 30
    assert main(["resume", path, "--local", "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (len(shown["trials"]), shown["stop_reason"][:10]) == (stopped, "plateau:4:")
    assert main(["resume", path, "--local", "--json", "--stop-when", "none"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert (len(shown["trials"]), shown["stop_reason"]) == (30, "")
    more = ["--trials", "60", "--budget", "1cpuh", "--dry-run", "--json", *options[:2], "--name", "t", "-s", "steps=1"]
    assert main(["sweep", "parabola", *more]) == 0
    planned = json.loads(capsys.readouterr().out)
    assert planned["timed on"] == f"30 trials of {path}"
    assert planned["expected"].startswith("60 trials x ")
    assert planned["of the budget"].endswith("% of 1cpuh")
    assert main(["sweep", "parabola", *more[:-6], "--storage", str(tmp_path / "none")]) == 0
    assert json.loads(capsys.readouterr().out)["expected"].startswith("unknown: no trial of parabola has run in ")
