"""Simulated sweeps: the code of real ones, another kind of time."""

import itertools
import math
from collections import Counter

import pyarrow as pa
import pytest

import raybayes as rb
from raybayes.engine import simulated
from raybayes.errors import SpecError, TrialError
from raybayes.space import Choice, Float, Int, Space

SPACE = Space({"x": Float(0.0, 1.0), "k": Choice("slow", "fast")})


def curve(config, seed):
    """A loss that falls towards (x - 0.3)^2, with a little noise of its own seed."""
    for epoch in range(1, 10):
        noise = (seed * epoch % 997) / 99700
        yield {"loss": (config["x"] - 0.3) ** 2 + 1 / epoch + noise, "seconds": 2.0 if config["k"] == "slow" else 1.0}


@pytest.mark.parametrize("scheduler", ["none", "asha", "median", "hyperband"])
def test_two_replays_are_equal_event_by_event(scheduler):
    options = {"trials": 40, "workers": 8, "scheduler": scheduler, "seed": 3}
    one, other = rb.simulate(curve, SPACE, **options), rb.simulate(curve, SPACE, **options)
    assert one.events.equals(other.events)
    assert one.events.num_rows > 80
    third = rb.simulate(curve, SPACE, **{**options, "seed": 4})
    assert not one.events.equals(third.events)


def test_every_event_follows_from_the_function():
    found = rb.simulate(curve, SPACE, trials=20, workers=3, scheduler="asha")
    rows, configs = found.events.to_pylist(), {row["trial"]: row for row in found.sweep.trials.to_pylist()}
    assert [row["time"] for row in rows] == sorted(row["time"] for row in rows)
    for trial, row in configs.items():
        mine = [event for event in rows if event["trial"] == trial]
        assert mine[0]["kind"] == "start"
        assert mine[-1]["kind"] == row["state"].lower()
        step_s = 2.0 if row["config.k"] == "slow" else 1.0
        times = [event["time"] for event in mine if event["kind"] == "report"]
        assert times == [pytest.approx(mine[0]["time"] + step_s * (i + 1)) for i in range(len(times))]
        assert row["seconds"] == pytest.approx(step_s * len(times))
        assert len({event["worker"] for event in mine}) == 1
    busy = Counter()
    for row in rows:  # never two trials on one worker, never more than three
        busy[row["worker"]] += {"start": 1, "report": 0}.get(row["kind"], -1)
        assert set(busy.values()) <= {0, 1}
        assert row["worker"] in range(3)
    assert found.utilisation == pytest.approx(1.0)
    assert {row["state"] for row in configs.values()} == {"COMPLETE", "PRUNED"}


def test_one_worker_asks_for_what_a_real_sweep_asks_for(tmp_path):
    def parabola(config):
        x, velocity = 2.0, 0.0
        for _ in range(4):
            beta = config["momentum.beta"] if config["method"] == "momentum" else 0.0
            velocity = beta * velocity + 2 * x
            x -= config["lr"] * velocity
            yield {"loss": 4 * x * x}

    from raybayes import catalog

    space = catalog.load_space(catalog.load_project("parabola"))
    real = rb.sweep("parabola", trials=14, storage=str(tmp_path), name="real", executor="local", seed=5)
    first = {"lr": 0.1, "method": "plain", "momentum.beta": 0.9}
    simulated = rb.simulate(parabola, space, trials=14, first=first, seed=5).sweep
    names = ["trial", "state", "config.lr", "config.method", "config.momentum.beta"]
    assert simulated.trials.select(names).to_pylist() == real.trials.select(names).to_pylist()
    assert simulated.trials["loss"].to_pylist() == pytest.approx(real.trials["loss"].to_pylist(), rel=1e-9)


def test_numbers_mappings_and_failures():
    def number(config):
        if config["x"] > 0.8:
            raise ValueError("too large")
        return math.nan if config["x"] > 0.6 else config["x"]

    rows = rb.simulate(number, SPACE, trials=40, workers=4, sampler="random").sweep.trials.to_pylist()
    for row in rows:
        x, error = row["config.x"], row["failure"] or ""
        assert row["state"] == ("COMPLETE" if x <= 0.6 else "FAIL")
        assert ("too large" in error, "nan" in error) == (x > 0.8, 0.6 < x <= 0.8)

    def late(config):
        yield {"loss": 1.0}
        raise ValueError("after one report")

    with pytest.raises(TrialError, match=r"3 of 3 trials failed.*ValueError: after one report"):
        rb.simulate(late, SPACE, trials=3)
    rows = rb.simulate(late, SPACE, trials=3, max_failed_fraction=1.0).sweep.trials.to_pylist()
    assert {(row["state"], row["steps"]) for row in rows} == {("FAIL", 1)}

    pair = rb.simulate(lambda config: {"a": config["x"], "b": -config["x"]}, SPACE, trials=9,
                       objective={"a": "minimize", "b": "minimize"}, name="pair")  # fmt: skip
    assert len(pair.sweep.pareto) == 9


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ("a text", "found 'a text'; return a number"),
        (None, "found None; return a number"),
        ([1.0, 2.0], "found 1.0; a report is a mapping of metrics"),
        ({"loss": "low"}, "loss: found 'low'; give a number"),
        ({"loss": 1.0, "seconds": -5}, "seconds: found -5; a report takes 0 seconds or more"),
        ({"loss": 1.0, "seconds": math.nan}, "seconds: found nan"),
    ],
)
def test_what_is_no_report_fails_the_trial_and_is_named(answer, words):
    with pytest.raises(TrialError, match=words):
        rb.simulate(lambda config: answer, SPACE, trials=2)


def test_a_time_budget_pauses_and_a_second_call_goes_on_to_the_same_end(tmp_path):
    options = {"trials": 12, "workers": 2, "sampler": "random", "storage": str(tmp_path)}
    whole = rb.simulate(curve, SPACE, **options, name="whole")
    rb.simulate(curve, SPACE, **options, name="cut", time_budget=5)
    assert "PAUSED" in rb.open_sweep(str(tmp_path / "cut")).trials["state"].to_pylist()
    rest = rb.simulate(curve, SPACE, **options, name="cut")
    assert set(rest.sweep.trials["state"].to_pylist()) == {"COMPLETE"}
    names = ["trial", "step", "loss", "seconds"]
    assert rest.sweep.reports.select(names).to_pylist() == whole.sweep.reports.select(names).to_pylist()
    with pytest.raises(SpecError, match="exists and is another"):
        rb.simulate(curve, Space({"x": Float(0.0, 2.0)}), **options, name="cut")
    with pytest.raises(SpecError, match=r"call rb\.simulate again"):
        rb.resume(str(tmp_path / "cut"), executor="local")


def test_waiting_for_the_driver_is_not_training(monkeypatch):
    """Two reports of a second each, and four answers of half a second each, for every trial."""
    ticks = itertools.count(step=0.5)
    monkeypatch.setattr(simulated.time, "process_time", lambda: next(ticks))
    found = rb.simulate(lambda config: [{"loss": 1.0}] * 2, SPACE, trials=20, charge_driver=True, name="s")
    assert found.utilisation == pytest.approx(0.5, abs=0.03)


def test_repeats_and_the_drivers_time():
    found = rb.simulate(curve, SPACE, trials=6, workers=4, repeats=3, charge_driver=True)
    assert found.sweep.trials["n"].to_pylist() == [3] * 6
    assert all(error > 0 for error in found.sweep.trials["loss.se"].to_pylist())
    assert 0.5 < found.utilisation <= 1.0
    assert found.driver_s > 0


@pytest.mark.parametrize(
    ("options", "words"),
    [({"scheduler": "pbt"}, "copies checkpoints"), ({"workers": 0}, "simulate 1 or more"),
     ({"sampler": "tpr"}, "did you mean 'tpe'"),
     ({"space": {"x": (0, 1)}}, "found a dict; give a raybayes.space.Space"),
     ({"objective": {"loss": "down"}}, "loss: found 'down'; give maximize or minimize"),
     ({"objective": "loss"}, "objective: found 'loss'; give a dict"), ({"function": 3}, "function: found 3; give a"),
     ({"constraints": ["loss"]}, "constraints: found .*; give a dict"), ({"first": 1}, "first: found 1; give a dict"),
     ({"workers": "two"}, "simulate 1 or more")],
)  # fmt: skip
def test_what_cannot_be_simulated_is_refused(options, words):
    with pytest.raises(SpecError, match=words):
        rb.simulate(**{"function": curve, "space": SPACE, **options})


class TestRecorded:
    SPACE = Space({"lr": Float(1e-4, 1.0, log=True), "width": Int(1, 9), "k": Choice("a", "b")})

    def table(self):
        rows = [
            {"config.lr": lr, "config.width": n, "config.k": k, "step": step, "loss": lr * step + n, "seconds": 3.0}
            for lr, n, k in [(1e-3, 1, "a"), (1e-1, 1, "a"), (1e-1, 9, "b")] for step in (2, 1)
        ]  # fmt: skip
        return pa.Table.from_pylist(rows)

    def test_a_configuration_gets_the_nearest_curve(self):
        found = rb.Recorded(self.table(), self.SPACE)
        assert len(found) == 3
        near = found({"lr": 2e-3, "width": 2, "k": "a"})
        assert [row["loss"] for row in near] == [1e-3 + 1, 2e-3 + 1]
        assert found({"lr": 2e-2, "width": 1, "k": "a"})[0]["loss"] == pytest.approx(1.1), "near in the logarithm"
        assert found({"lr": 2e-2, "width": 5, "k": "b"})[0]["loss"] == pytest.approx(9.1), "a choice counts 1"

    def test_a_real_sweeps_curves_are_replayed(self, tmp_path):
        space = Space({"lr": Float(1e-3, 1.0, log=True)})
        real = rb.sweep("parabola", trials=6, config={"method": "plain"}, storage=str(tmp_path), executor="local")
        recorded = rb.Recorded.of(real)
        assert len(recorded) == 6
        found = rb.simulate(recorded, space, trials=6, first=real.config(3))
        assert found.sweep.trials["loss"][0].as_py() == real.trials["loss"][3].as_py()
        assert found.seconds > 0

    def test_what_is_missing_is_named(self):
        with pytest.raises(SpecError, match=r"has no config\.k"):
            rb.Recorded(self.table().drop_columns(["config.k"]), self.SPACE)


def test_the_winner_of_a_simulated_sweep_is_confirmed_too():
    found = rb.simulate(curve, SPACE, trials=10, confirm="3x4").sweep
    assert len(found.confirmed) == 3
    assert found.best["n"] == 4
    assert found.best_summary.startswith("Best of 3 confirmed")
