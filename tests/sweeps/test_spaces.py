"""Spaces in a sweep: lists and None as values, limits, no configuration twice, repeats."""

import csv
import logging
import math

import pytest

import raybayes as rb
from raybayes.cli.main import main
from raybayes.sweeps.results import SweepResult

LOSS = {"loss": "minimize"}
FINITE = {"layers": rb.Choice([8], [8, 8], None), "n": rb.Int(1, 4)}
LIMITED = rb.Space(
    {"lr": rb.Float(1e-3, 1, log=True), "lr_min": rb.Float(1e-3, 1, log=True), "clip": rb.Choice(None, 1.0)},
    require=["lr_min < lr"],
)
SAMPLERS = ("tpe:n_startup_trials=3", "random", "cmaes", "nsga2:population_size=3", "gp:n_startup_trials=3",
            "optuna.samplers.QMCSampler")  # fmt: skip


@pytest.fixture
def local(tmp_path):
    return {"storage": tmp_path, "executor": "local", "objective": LOSS, "name": "s"}


def count_layers(config):
    config["layers"] = (config["layers"] or []) + [1]  # a trial's list is its own
    return len(config["layers"]) + config["n"]


def fresh_loss(config):
    return next(_losses)


_losses = iter(range(1000))


@pytest.mark.parametrize("sampler", [*SAMPLERS, "grid", "optuna.samplers.BruteForceSampler"])
def test_a_finite_space_is_tried_once_and_whole(local, sampler):
    sweep = rb.sweep(count_layers, space=FINITE, trials=9, sampler=sampler, **local)
    sweep = rb.extend(sweep.path, 3, train=count_layers, executor="local")
    tried = {str((row["config.layers"], row["config.n"])) for row in sweep.trials.to_pylist()}
    assert len(tried) == len(sweep.trials) == 12


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_an_impossible_configuration_is_never_suggested(local, sampler):
    sweep = rb.sweep(lambda c: c["lr"] - c["lr_min"], space=LIMITED, trials=8, sampler=sampler, **local)
    assert set(sweep.trials["state"].to_pylist()) == {"COMPLETE"}
    assert all(row["config.lr_min"] < row["config.lr"] for row in sweep.trials.to_pylist())


@pytest.mark.parametrize("sampler", ["tpe:n_startup_trials=3", "gp:n_startup_trials=3"])
def test_failures_teach_where_values_are_lists(local, sampler):
    def train(config):
        if config["layers"] == [8, 8]:
            raise MemoryError
        return config["n"]

    sweep = rb.sweep(train, space=FINITE, trials=8, sampler=sampler, max_failed_fraction=1.0, **local)
    assert "FAIL" in sweep.trials["state"].to_pylist()


def test_slots_that_run_side_by_side_get_different_ones(tmp_path):
    space = rb.Space({"x": rb.Int(1, 6), "layers": rb.Choice((1,), (2,))})
    found = rb.simulate(lambda c: float(c["x"]), space, trials=12, workers=4, ask_ahead="always", storage=tmp_path)
    assert len({str(record.params) for record in found.sweep.records}) == 12


def test_values_keep_their_type_in_trials_tables_exports_and_the_page(local, tmp_path, capsys):
    seen = []

    def train(config):
        seen.append(config["layers"])
        return sum(config["layers"]) + (config["clip"] or 0)

    space = {"layers": rb.Choice((64,), (64, 64)), "clip": rb.Choice(None, 1.0)}
    sweep = rb.sweep(train, space=space, trials=4, **local)
    assert all(isinstance(layers, tuple) for layers in seen)
    assert sweep.config() == {"layers": (64,), "clip": None}
    assert (sweep.best["config.layers"], sweep.best["config.clip"]) == ([64], None)
    assert main(["export", sweep.path, "--out", str(tmp_path / "t.csv")]) == 0
    with open(tmp_path / "t.csv") as file:
        assert {row["config.layers"] for row in csv.DictReader(file)} == {"[64]", "[64, 64]"}
    assert sweep.report().endswith("report.html")
    assert rb.Recorded.of(sweep)({"layers": (64, 64), "clip": None})[0]["loss"] == 128
    assert sweep.importances()
    assert main(["show", sweep.path]) == 0
    shown = capsys.readouterr().out
    assert "64, 64" in shown
    assert "None" in shown


def test_a_repeated_configuration_counts_as_a_repeat(local, caplog):
    with caplog.at_level(logging.WARNING, "raybayes.sweep"):
        sweep = rb.sweep(fresh_loss, space={"x": rb.Int(1, 2)}, trials=6, **local)
    assert "2 configurations for 6 trials" in caplog.text
    assert sum(sweep.trials["n"].to_pylist()) in (10, 12, 18, 20)  # 3 + 3, or 4 + 2, 5 + 1 of each
    for x in (1, 2):
        rows = [row for row in sweep.trials.to_pylist() if row["config.x"] == x]
        own = [record.values[0] for record in sweep.records if record.params["x"] == x]
        assert {row["n"] for row in rows} == {len(own)}
        mean = sum(own) / len(own)
        assert [row["loss"] for row in rows] == pytest.approx([mean] * len(own))
        if len(own) > 1:
            error = math.sqrt(sum((value - mean) ** 2 for value in own) / (len(own) - 1) / len(own))
            assert rows[0]["loss.se"] == pytest.approx(error)
    assert sweep.best["loss"] == min(sweep.trials["loss"].to_pylist())


def test_a_function_as_a_limit_is_given_again(local):
    space = rb.Space({"a": rb.Int(1, 9), "b": rb.Int(1, 9)}, require=lambda c: c["a"] + c["b"] == 7)
    sweep = rb.sweep(lambda c: c["a"], space=space, trials=3, **local)
    assert {record.params["a"] + record.params["b"] for record in sweep.records} == {7}
    with pytest.raises(rb.SpecError, match="is a function, which is not stored with it"):
        rb.resume(sweep.path, train=lambda c: c["a"], executor="local")
    again = rb.extend(sweep.path, 3, train=lambda c: c["a"], space=space, executor="local", code_changed=True)
    assert sorted(record.params["a"] for record in again.records) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize(
    ("require", "words"),
    [
        (["x > 99"], r"no configuration of the space keeps the limits \(x > 99\)"),
        (["y < x"], "unknown parameter 'y'"),
        (["x <"], "this is no comparison"),
        (["open('/etc/passwd') == x"], "unknown function 'open'"),
        (["x.__class__ == 3"], "unknown parameter 'x.__class__'"),
        (["x < 'a'"], "cannot be computed for x = "),
        ([lambda c: None], "gave None"),
    ],
)
def test_a_wrong_limit_is_refused_before_anything_is_written(local, tmp_path, require, words):
    with pytest.raises(rb.RaybayesError, match=words):
        rb.sweep(count_layers, space=rb.Space({"x": rb.Int(1, 4)}, require=require), trials=2, **local)
    assert list(tmp_path.iterdir()) == []


def test_limits_and_none_on_the_command_line(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "fit_limits.py").write_text("def train(c):\n    return c['x'] - c['y'] + len(c['layers'] or ())\n")
    words = ["sweep", "fit_limits.py:train", "--objective", "loss:minimize", "--trials", "4", "--local", "--name", "s"]
    words += ["--param", "x=0..1", "--param", "y=0..1", "--param", "layers=64|64,64|none", "--require", "y < x"]
    assert main(words) == 0
    assert main(["extend", "runs/s", "--trials", "2", "--local"]) == 0
    records = SweepResult("runs/s").records
    assert len(records) == 6
    assert all(record.params["y"] < record.params["x"] for record in records)
    assert {type(record.params["layers"]) for record in records} <= {tuple, type(None)}
    assert main([*words, "--require", "z < x", "--name", "other"]) == 2
    assert "unknown parameter 'z'" in capsys.readouterr().err
