"""Any training is searched: a function, a reference, a command, through the doors that projects use."""

import json
import sys
import textwrap

import pytest

import raybayes as rb
from raybayes.cli.main import main
from raybayes.store.trial_log import TrialLog, read_log
from raybayes.sweeps.results import SweepResult

SPACE = {"lr": rb.Float(1e-3, 1.0, log=True), "act": rb.Choice("relu", "gelu")}
LOSS = {"loss": "minimize"}


def train(config):
    """Two reports of a parabola."""
    for epoch in (1, 2):
        yield {"loss": (config["lr"] - 0.3) ** 2 + 1 / epoch, "accuracy": 0.5}


@pytest.fixture
def local(tmp_path):
    return {"storage": tmp_path, "executor": "local"}


class TestFunctions:
    def test_a_function_is_searched_with_its_other_metrics(self, local):
        sweep = rb.sweep(train, space=SPACE, objective=LOSS, trials=4, config={"epochs": 2}, name="s", **local)
        assert sweep.trials["state"].to_pylist() == ["COMPLETE"] * 4
        assert sweep.reports["accuracy"].to_pylist() == [0.5] * 8
        assert set(sweep.config()) == {"lr", "act", "epochs"}
        assert sweep.spec.training == {"kind": "function", "objective": LOSS}
        assert sweep.findings().tables == {}

    def test_constraints_on_what_it_reports(self, local):
        limits = {"accuracy": ">= 0.6"}
        sweep = rb.sweep(train, space=SPACE, objective=LOSS, constraints=limits, trials=2, name="s", **local)
        assert sweep.trials["feasible"].to_pylist() == [False, False]

    def test_a_run_and_a_confirmation(self, local):
        run = rb.train(train, {"lr": 0.3, "act": "relu"}, objective=LOSS, name="run", **local)
        assert run.reports["loss"].to_pylist() == [1.0, 0.5]
        sweep = rb.sweep(train, space=SPACE, objective=LOSS, trials=3, confirm="1x2", name="s", **local)
        assert len(sweep.confirmed) == 1

    def test_resume_needs_the_function_again(self, local):
        sweep = rb.sweep(train, space=SPACE, objective=LOSS, trials=2, name="s", **local)
        with pytest.raises(rb.SpecError, match="resume it from Python with the function"):
            rb.extend(sweep.path, 1, executor="local")
        assert len(rb.extend(sweep.path, 1, train=train, executor="local").trials) == 3

    def test_two_sweeps_of_functions_of_one_name(self, local):
        first = rb.sweep(lambda c: c["x"], space={"x": rb.Float(0, 1)}, objective=LOSS, trials=2, name="a", **local)
        second = rb.sweep(lambda c: -c["x"], space={"x": rb.Float(0, 1)}, objective=LOSS, trials=2, name="b", **local)
        assert first.trials["loss"].to_pylist()[0] == -second.trials["loss"].to_pylist()[0]

    def test_a_function_called_like_a_project_hides_it_in_its_own_sweep_alone(self, local):
        def parabola(config):
            return config["x"]

        rb.sweep(parabola, space={"x": rb.Float(0, 1)}, objective=LOSS, trials=1, name="a", **local)
        assert "loss" in rb.train("parabola", {"steps": 1}, name="b", **local).reports.column_names

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ({"space": SPACE}, "objective: found none"),
            ({"space": {"lr": 0.1}, "objective": LOSS}, "lr: 0.1 is no"),
            ({"space": 3, "objective": LOSS}, "space: found 3; give"),
            ({"space": SPACE, "objective": {"loss": "down"}}, "found direction 'down'"),
            ({"space": SPACE, "objective": LOSS, "config": {"lr": 0.1}}, "lr is searched and fixed"),
        ],
    )
    def test_what_is_missing_is_said_before_anything_is_written(self, local, tmp_path, arguments, words):
        with pytest.raises(rb.RaybayesError, match=words):
            rb.sweep(train, trials=1, name="s", **arguments, **local)
        assert list(tmp_path.iterdir()) == []


class TestCode:
    def test_a_change_of_the_source_stops_a_resume(self, local, tmp_path):
        file = tmp_path / "fit_changing.py"
        file.write_text("def train(config):\n    return config['x']\n")
        space = {"x": rb.Float(0, 1)}
        sweep = rb.sweep(f"{file}:train", space=space, objective="loss:minimize", trials=2, name="s", **local)
        assert len(rb.extend(sweep.path, 1, executor="local").trials) == 3
        file.write_text("def train(config):\n    return -config['x']\n")
        with pytest.raises(rb.SpecError, match=r"the code has changed since burst 1: fit_changing\.py"):
            rb.extend(sweep.path, 1, executor="local")
        assert len(rb.extend(sweep.path, 1, executor="local", code_changed=True).trials) == 4
        stamps = SweepResult(sweep.path).code
        assert [burst for burst in stamps] == [0, 1, 2]
        assert stamps[0]["sources"] == stamps[1]["sources"] != stamps[2]["sources"]
        assert stamps[2]["packages"]["torch"]
        assert stamps[2]["trials"] == [3]

    def test_of_a_project_too(self, local):
        sweep = rb.sweep("parabola", trials=1, name="s", config={"steps": 1}, **local)
        assert any(name.startswith("trainables/parabola") for name in SweepResult(sweep.path).code[0]["sources"])


SCRIPT = """
    import json, sys
    for epoch in range(1, 4):
        print(json.dumps({"epoch": epoch, "loss": float(sys.argv[1]) + 1 / epoch}), flush=True)
"""


class TestCommands:
    def test_a_script_is_searched_on_the_command_line(self, tmp_path, monkeypatch, capsys):
        monkeypatch.chdir(tmp_path)
        (tmp_path / "fit_script.py").write_text(textwrap.dedent(SCRIPT))
        words = ["sweep", "--param", "x=0.0..1.0", "--objective", "loss:minimize", "--trials", "3", "--local", "--name",
                 "s", "--", sys.executable, "fit_script.py", "{x}"]  # fmt: skip
        assert main(words) == 0
        assert "fit_script" in SweepResult("runs/s").spec.project
        assert len(SweepResult("runs/s").reports) == 9
        assert main(["extend", "runs/s", "--trials", "1", "--local"]) == 0
        assert len(SweepResult("runs/s").trials) == 4
        capsys.readouterr()
        assert main(["logs", "runs/s", "1"]) == 0
        lines = capsys.readouterr().out.splitlines()
        assert json.loads(lines[0])["epoch"] == 1
        assert main(["train", "-s", "x=0.25", "--objective", "loss:minimize", "--local", "--name", "r", "--",
                     sys.executable, "fit_script.py", "{x}"]) == 0  # fmt: skip
        assert SweepResult("runs/r").reports["loss"].to_pylist()[0] == 1.25

    @pytest.mark.parametrize(
        ("words", "sentence"),
        [
            (["sweep", "--param", "x=0..1", "--objective", "loss:minimize"], "no project given"),
            (["sweep", "parabola", "--param", "x=0..1"], "--param describes your own training"),
            (["sweep", "--objective", "loss:minimize", "--", "true"], "nothing is searched"),
            (["sweep", "flows", "--", "true"], "found the project 'flows' and a command"),
            (["sweep", "--param", "x", "--objective", "l:minimize", "--", "true", "{x}"], "write NAME=RANGE"),
            (["sweep", "--param", "x=0..1", "--objective", "l", "--", "true", "{x}"], "found direction ''"),
            (["sweep", "--param", "x=0..1", "--", "true", "{x}"], "objective: found none"),
            (
                ["sweep", "nowhere.py:train", "--param", "x=0..1", "--objective", "l:minimize"],
                "there is no file nowhere",
            ),
            (["train", "--local"], "give a project"),
            (["sweep", "--objective", "l:minimize", "python", "t.py", "--lr", "{lr}"], "without -- before it"),
            (["sweep", "--objective", "l:minimize", "t.py"], "-- python t.py --lr {lr}, or name a function"),
            (["sweep", "--param", "x=1-2", "--objective", "l:minimize", "--", "true", "{x}"], "is no range"),
            (
                ["sweep", "--param", "x=0..1", "--objective", "l:minimize", "--metric", "l=x", "--", "true", "{x}"],
                "with one group",
            ),
        ],
    )
    def test_what_is_wrong_is_said_with_exit_code_2(self, tmp_path, monkeypatch, capsys, words, sentence):
        monkeypatch.chdir(tmp_path)
        assert main([*words]) == 2
        assert sentence in capsys.readouterr().err
        assert list(tmp_path.iterdir()) == []


class TestLogs:
    def test_a_long_log_keeps_its_beginning_and_its_end(self, tmp_path):
        from raybayes.store.filesystem import open_storage
        from raybayes.store.layout import Layout

        layout = Layout(open_storage(str(tmp_path)).child("s"))
        log = TrialLog(layout, 3, 0, head=50, tail=50)
        for i in range(100):
            log.write(f"line {i:03d}")
        log.close()
        lines = read_log(layout, 3).splitlines()
        assert lines[0] == "line 000"
        assert lines[-1] == "line 099"
        assert any("lines left out" in line for line in lines)
        assert len(lines) < 15
        assert read_log(layout, 4) is None
