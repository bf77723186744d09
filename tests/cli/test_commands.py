"""What the commands print and answer; every mistake gets one sentence, exit code 2, and leaves nothing behind."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import yaml

import raybayes as rb
from raybayes.cli.main import main

PARABOLA = ["sweep", "parabola", "--local", "-s", "steps=2"]


PICKY = """
from pydantic import BaseModel, ConfigDict, model_validator

from raybayes.contract import Metric, Project
from raybayes.errors import DataError


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    dataset: str = "mnist-sample"
    column: str = "a"

    @model_validator(mode="after")
    def _possible(self):
        if self.column == "c":
            raise ValueError("column = c is never possible")
        return self


def check(config, data):
    if config.column == "odd":
        raise DataError("a column cannot be called odd; choose a letter.")
    if config.dataset.endswith(".parquet") and config.column not in data(config.dataset)["all"].column_names:
        raise DataError(f"{config.dataset} has no column {config.column}; add it.")


def train(config, ctx):
    ctx.report({"loss": float(ctx.data(config.dataset)["all"].num_rows)})


PROJECT = Project("picky", "reads a column", "", Config, train, (Metric("loss", "minimize"),), "epoch", "data",
                  check=check)
"""


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """A command line in an empty folder: (exit code, output, errors)."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("RAYBAYES_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path.parent / "no-cache"))

    def call(*arguments):
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


class TestDoors:
    def test_projects(self, run):
        code, output, _ = run("projects")
        assert code == 0
        assert "ensembles" in output
        assert "parabola" in output

    def test_a_broken_project_does_not_hide_the_others(self, run):
        Path("trainables/crooked").mkdir(parents=True)
        Path("trainables/crooked/__init__.py").write_text("import no_such_library\n")
        code, output, _ = run("projects")
        assert code == 0
        assert "no_such_library" in output
        assert "ensembles" in output

    def test_one_project_shows_configuration_spaces_metrics(self, run):
        _, output, _ = run("projects", "parabola")
        for word in (
            "loss",
            "lr",
            "float > 0 <= 10",
            "momentum.beta",
            "search space GRID",
            "method = momentum",
            "step size",
        ):
            assert word in output
        facts = json.loads(run("projects", "parabola", "--json")[1])
        assert facts["config"]["momentum.beta"] == 0.9
        assert set(facts["spaces"]) == {"SPACE", "GRID", "WRONG"}

    def test_sweep_show_report_json(self, run, tmp_path):
        code, output, errors = run(*PARABOLA, "--trials", 4, "--name", "a", "--seed", 3)
        assert code == 0, errors
        assert max(len(line) for line in output.splitlines()) <= 100
        assert output.splitlines()[-1] == "runs/a"
        assert "★" in output
        assert run("show", "runs/a", "--findings")[1] == output
        facts = json.loads(run("show", "runs/a", "--json")[1])
        assert [trial["state"] for trial in facts["trials"]] == ["COMPLETE"] * 4
        losses = {trial["trial"]: trial["loss"] for trial in facts["trials"]}
        assert facts["best"] == [min(losses, key=losses.get)]
        assert rb.open_sweep("runs/a").best["trial"] == facts["best"][0]

    def test_findings_of_the_project_stand_below_its_trials(self, run):
        code, output, errors = run(*PARABOLA, "--trials", 3, "--name", "a")
        assert code == 0, errors
        assert output.index("steps, mean over trials") > output.index("★")
        assert "steps, mean" not in run("show", "runs/a")[1]
        wanted = {"steps, mean over trials": [{"steps": 2}]}
        assert json.loads(run("show", "runs/a", "--findings", "--json")[1])["findings"] == wanted
        again = json.loads(run(*PARABOLA, "--trials", 4, "--name", "b", "--json")[1])
        assert again["findings"] == wanted
        assert run("report", "runs/a")[0] == 0
        page = Path("runs/a/report.html").read_text()
        assert "steps, mean over trials" in page
        assert page.index("The path of a trial") > page.index("Which trial ran where")
        assert Path("runs/a/figures/parabola-the-path-of-a-trial.svg").exists()

    def test_rescore_computes_from_the_stored_tables(self, run):
        run(*PARABOLA, "--trials", 3, "--name", "a", "--seed", 3)
        rows = rb.open_sweep("runs/a").table("path").to_pylist()
        for option in ("--csv", "--parquet"):
            code, output, errors = run("rescore", "runs/a", "-s", "power=1", option, "long.file")
            assert code == 0, errors
            assert output.splitlines()[-1] == "long.file"
            table = (pq.read_table if option == "--parquet" else pyarrow.csv.read_csv)("long.file")
            assert table.to_pylist() == [
                {"trial": r["trial"], "repeat": r["repeat"], "loss": pytest.approx(abs(r["x"]))} for r in rows
            ]
        total = sum(abs(row["x"]) ** 2 for row in rows)
        found = json.loads(run("rescore", "runs/a", "--json")[1])["findings"]
        assert found == {"total": [{"loss": pytest.approx(total), "loss.se": 0.0}]}
        for wrong, sentence in [
            (["-s", "power=-1"], "power"),
            (["-s", "might=1"], "might"),
            (["--csv", "no/such/folder.csv"], "no/such/folder.csv cannot be written"),
        ]:
            code, _, errors = run("rescore", "runs/a", *wrong)
            assert code == 2
            assert sentence in errors

    def test_the_resolved_spec_is_written_with_every_default(self, run):
        run(*PARABOLA, "--trials", 1, "--name", "a")
        document = yaml.safe_load(Path("runs/a/sweep.yaml").read_text())
        assert document["schema"] == 2
        assert document["sampler"] == {"name": "tpe", "options": {}}
        assert document["parameters"]["momentum.beta"] == {"float": [0.1, 0.95], "when": {"method": ["momentum"]}}
        assert document["config"] == {"steps": 2}

    def test_train_prints_the_last_values(self, run):
        code, output, errors = run("train", "parabola", "--local", "-s", "steps=3", "-s", "lr=1e-1", "--name", "r")
        assert code == 0, errors
        assert "COMPLETE after 3 reports" in output
        assert "tables: path" in output
        assert run("show", "runs/r")[1] == output
        facts = json.loads(run("show", "runs/r", "--json")[1])
        assert facts["metrics"]["final"] == facts["metrics"]["loss"]

    def test_extend_adds_trials(self, run):
        run(*PARABOLA, "--trials", 2, "--name", "a")
        code, output, _ = run("extend", "runs/a", "--trials", 3, "--local")
        assert code == 0
        assert "5 complete" in output

    def test_the_same_command_again_goes_on(self, run):
        run(*PARABOLA, "--trials", 2, "--name", "a")
        code, output, _ = run(*PARABOLA, "--trials", 3, "--name", "a")
        assert code == 0
        assert "3 complete" in output

    def test_dry_run_prints_the_plan_and_writes_nothing(self, run, tmp_path):
        code, output, _ = run("sweep", "parabola", "--trials", 30, "--dry-run")
        assert code == 0
        assert "lr=0.1, method=plain" in output
        assert "nothing was started" in output
        plan = json.loads(run("sweep", "parabola", "--trials", 30, "--dry-run", "--json", "--seed", 5)[1])
        assert len(plan["first"]) == 5
        assert list(tmp_path.iterdir()) == []
        _, output, _ = run(
            "sweep", "parabola", "--local", "--trials", 5, "--seed", 5, "--name", "real", "--json", "-s", "steps=1"
        )
        first = {
            name.removeprefix("config."): v for name, v in json.loads(output)["trials"][0].items() if "config." in name
        }
        assert first["lr"] == plan["first"][0]["lr"]

    def test_a_spec_file_with_flags_over_it(self, run, tmp_path):
        Path("sweep.yaml").write_text(
            "project: parabola\ntrials: 5\nsampler: random\n"
            "scheduler: {name: asha, options: {grace_period: 2}}\nconfig:\n  steps: 3\n"
        )
        code, _, errors = run("sweep", "--spec", "sweep.yaml", "--trials", 2, "--local", "--name", "s")
        assert code == 0, errors
        spec = rb.open_sweep("runs/s").spec
        assert (spec.trials, spec.sampler.name, str(spec.scheduler)) == (2, "random", "asha:grace_period=2")

    def test_a_spec_file_has_every_option_under_its_own_name(self, run):
        Path("sweep.yaml").write_text(
            "project: parabola\ntrials: 1\nconfig: {steps: 1}\nname: s\nexecutor: local\nwalltime: 1h\n"
            "time_budget: 30m\ncheckpoint_every: 1m\nkeep_checkpoints: 2\nconstraints: {size: <= 60}\n"
        )
        code, _, errors = run("sweep", "--spec", "sweep.yaml", "--keep-checkpoints", 3, "--constraint", "loss<=100")
        assert code == 0, errors
        spec = rb.open_sweep("runs/s").spec
        assert (spec.time_budget, spec.checkpoint_every, spec.keep_checkpoints) == (1800.0, 60.0, 3)
        assert spec.constraints == {"size": "<= 60", "loss": "<=100"}

    def test_several_objectives_repeats_and_constraints(self, run):
        code, output, errors = run(
            "sweep", "parabola", "--local", "--trials", 4, "--objective", "loss,size", "--name", "m",
            "-s", "noise=0.1", "-s", "steps=2", "--repeats", 2, "--constraint", "loss<=1000",
        )  # fmt: skip
        assert code == 0, errors
        assert "±" in output
        rows = rb.open_sweep("runs/m").reports.to_pylist()
        assert {row["repeat"] for row in rows} == {0, 1}

    def test_data(self, run):
        code, output, _ = run("data", "list")
        assert code == 0
        assert "mnist-sample" in output
        code, output, _ = run("data", "check", "mnist-sample")
        assert code == 0
        assert "train 2,000" in output

    def test_help_names_every_command(self, run):
        code, output, _ = run("--help")
        assert code == 0
        for name in ("projects", "train", "sweep", "resume", "extend", "show", "report", "data"):
            assert name in output


MISTAKES = {
    "unknown project": (["sweep", "parabole"], ["unknown project 'parabole'", "did you mean 'parabola'", "ensembles"]),
    "no project": (["sweep"], ["no project given", "raybayes projects"]),
    "unknown key": ([*PARABOLA, "-s", "stpes=1"], ["unknown key 'stpes'", "did you mean 'steps'", "steps (default 4)"]),
    "unknown nested key": ([*PARABOLA, "-s", "momentum.betta=1"], ["momentum.betta", "momentum.beta (default 0.9)"]),
    "wrong type": ([*PARABOLA, "-s", "lr=fast"], ["lr: found 'fast'", "number"]),
    "out of range": ([*PARABOLA, "-s", "lr=-1"], ["lr: found -1", "greater than 0"]),
    "no equals sign": ([*PARABOLA, "-s", "lr"], ["setting 'lr' has no '='", "-s lr=0.1"]),
    "unknown space": ([*PARABOLA, "--space", "SPASE"], ["no space 'SPASE'", "did you mean 'SPACE'"]),
    "a space of unknown names": (
        [*PARABOLA, "--space", "WRONG"],
        ["unknown key 'learning_rate'", "search_spaces/parabola.py"],
    ),
    "a space that does not go with what is fixed": (
        ["sweep", "flows", "--trials", "3", "-s", "steps=40"],
        [
            "space SPACE: ",
            " sampled configurations are incompatible with the fixed values",
            "steps = 40",
            "-s NAME=VALUE",
        ],
    ),
    "unknown objective": (
        [*PARABOLA, "--objective", "speed"],
        ["has no metric 'speed'", "loss, size, final"],
    ),
    "unknown sampler": ([*PARABOLA, "--sampler", "tpee"], ["unknown sampler 'tpee'", "did you mean 'tpe'"]),
    "unknown scheduler": ([*PARABOLA, "--scheduler", "asah"], ["unknown scheduler 'asah'", "did you mean 'asha'"]),
    "bad option": ([*PARABOLA, "--scheduler", "asha:eta=1"], ["eta = 1", "above 1"]),
    "pbt with a sampler": ([*PARABOLA, "--scheduler", "pbt", "--sampler", "gp"], ["pbt is also the sampler"]),
    "grid without steps": ([*PARABOLA, "--sampler", "grid"], ["infinitely many values", "step="]),
    "trials": ([*PARABOLA, "--trials", "0"], ["trials: found 0", "greater than or equal to 1"]),
    "name": ([*PARABOLA, "--name", "a/b"], ["name: found 'a/b'", "letters, digits"]),
    "time": ([*PARABOLA, "--time-budget", "soon"], ["time_budget: found 'soon'; write seconds", "2h"]),
    "constraint": ([*PARABOLA, "--constraint", "loss<3"], ["constraints: found 'loss<3'", "METRIC<=NUMBER"]),
    "constraint on nothing": (
        [*PARABOLA, "--constraint", "speed<=3"],
        ["parabola has no metric 'speed'; valid metrics: "],
    ),
    "workers in one process": (
        [*PARABOLA, "--workers", "2"],
        ["2 workers cannot train in one process", "drop --local"],
    ),
    "too many workers": (["sweep", "parabola", "--workers", "99"], ["never fits", "use --workers"]),
    "dry run of the impossible": (["sweep", "parabola", "--gpus-per-worker", "64", "--dry-run"], ["never fits"]),
    "a GPU in a process that has none": (
        [*PARABOLA, "--gpus-per-worker", "64"],
        ["a trial of 1 worker with 1 CPUs and 64 GPUs each never fits"],
    ),
    "training on a GPU in a process that has none": (
        ["train", "parabola", "--local", "--gpus-per-worker", "64"],
        ["64 GPUs each never fits"],
    ),
    "unknown option": (["sweep", "parabola", "--foo"], ["raybayes: unknown option '--foo'; sweep takes: --space, --"]),
    "option like another": (
        ["sweep", "parabola", "--tirals", "3"],
        ["unknown option '--tirals'; did you mean '--trials'? sweep takes: ", " See --help.\n"],
    ),
    "sampler like no other": ([*PARABOLA, "--sampler", "zzz"], ["unknown sampler 'zzz'; valid samplers: auto, tpe, "]),
    "scheduler like no other": (
        [*PARABOLA, "--scheduler", "zzz"],
        ["unknown scheduler 'zzz'; valid schedulers: none, "],
    ),
    "no sweep": (["show", "."], ["not a sweep"]),
    "no such folder": (["resume", "nowhere"], ["nowhere"]),
    "no data": (["sweep", "ensembles", "-s", "dataset=mnist"], ["mnist", "raybayes data fetch mnist", "mnist-sample"]),
    "unknown data": (["data", "check", "mnits"], ["mnits", "mnist"]),
    "missing spec file": (["sweep", "--spec", "none.yaml"], ["none.yaml: cannot be read"]),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes(run, tmp_path, mistake):
    arguments, words = MISTAKES[mistake]
    code, output, errors = run(*arguments)
    assert code == 2, output + errors
    assert output == ""
    for word in words:
        assert word in errors
    assert "Traceback" not in errors
    assert list(tmp_path.iterdir()) == [], "something was written"


def test_mistakes_as_json(run):
    code, output, errors = run("sweep", "parabole", "--json")
    assert (code, errors) == (2, "")
    assert json.loads(output)["exit_code"] == 2


class TestMistakesWithFiles:
    def test_yaml_that_does_not_parse(self, run):
        Path("s.yaml").write_text("project: parabola\ntrials: [1\n")
        code, _, errors = run("sweep", "--spec", "s.yaml")
        assert code == 2
        assert "s.yaml:3:1" in errors

    def test_an_unknown_key_is_named_with_its_line(self, run):
        Path("s.yaml").write_text("project: parabola\ntrials: 3\nsamplerr: tpe\n")
        code, _, errors = run("sweep", "--spec", "s.yaml")
        assert code == 2
        assert "s.yaml:3" in errors
        assert "did you mean 'sampler'" in errors

    def test_another_sweep_of_that_name(self, run):
        run(*PARABOLA, "--trials", 2, "--name", "a")
        before = Path("runs/a/sweep.yaml").read_text()
        code, _, errors = run(*PARABOLA, "--trials", 2, "--name", "a", "--sampler", "random", "--seed", 9)
        assert code == 2
        for word in ("seed: 0 -> 9", "sampler", "raybayes resume runs/a", "another --name"):
            assert word in errors
        assert Path("runs/a/sweep.yaml").read_text() == before

    def test_a_newer_schema(self, run):
        run(*PARABOLA, "--trials", 1, "--name", "a")
        path = Path("runs/a/sweep.yaml")
        path.write_text(path.read_text().replace("schema: 2", "schema: 99"))
        code, _, errors = run("show", "runs/a")
        assert code == 2
        assert "99" in errors

    def test_storage_that_cannot_be_written(self, run, tmp_path):
        Path("file").write_text("")
        code, _, errors = run(*PARABOLA, "--storage", "file/runs")
        assert code == 2
        assert "--storage" in errors
        assert [path.name for path in tmp_path.iterdir()] == ["file"]

    def test_a_table_without_its_column(self, run):
        Path("data/letters").mkdir(parents=True)
        pq.write_table(pa.table({"fold": [1], "wrod": ["at"]}), "data/letters/letters.parquet")
        code, output, _ = run("data", "check", "letters", "--data", "data")
        assert code == 2
        assert "word" in output
        assert "letters.parquet" in output.replace("\n", "")  # a long path is broken over lines

    def test_a_file_that_its_project_refuses(self, run):
        Path("trainables/picky").mkdir(parents=True)
        Path("trainables/picky/__init__.py").write_text(PICKY)
        Path("search_spaces").mkdir()
        Path("search_spaces/picky.py").write_text(
            "from raybayes.space import Choice, Space\nSPACE = Space({'column': Choice('a', 'b')})\n"
        )
        pq.write_table(pa.table({"b": [1]}), "mine.parquet")
        pq.write_table(pa.table({"a": [1]}), "good.parquet")
        for command in (["train"], ["sweep", "--trials", 2, "--sampler", "grid"]):
            head = [command[0], "picky", *command[1:], "--local", "--name", command[0], "-s"]
            code, _, errors = run(*head, "dataset=mine.parquet")
            assert code == 2
            assert "mine.parquet has no column a" in errors
            assert not Path("runs").exists()
        code, _, errors = run("train", "picky", "--local", "-s", "column=odd")
        assert (code, errors.count("a column cannot be called odd; choose a letter.")) == (2, 1)
        assert not Path("runs").exists()
        code, _, _ = run("train", "picky", "--local", "--name", "good", "-s", "dataset=good.parquet")
        assert code == 0

    def test_the_first_configuration_that_can_run_is_the_one_that_a_project_looks_at(self, run):
        Path("trainables/fussy").mkdir(parents=True)
        Path("trainables/fussy/__init__.py").write_text(PICKY.replace('"picky"', '"fussy"'))
        Path("search_spaces").mkdir()
        Path("search_spaces/fussy.py").write_text(
            "from raybayes.space import Choice, Space\nSPACE = Space({'column': Choice('c', 'odd')})\n"
        )
        code, _, errors = run("sweep", "fussy", "--local", "--trials", 2, "--sampler", "grid")
        assert code == 2
        assert "a column cannot be called odd" in errors
        assert not Path("runs").exists()

    def test_changing_what_a_sweep_is(self, run):
        run(*PARABOLA, "--trials", 1, "--name", "a")
        with pytest.raises(rb.SpecError, match="part of what the sweep"):
            rb.resume("runs/a", objective=("size",), executor="local")

    def test_failed_trials_above_the_limit_exit_1(self, run):
        code, _, errors = run(
            "sweep", "parabola", "--local", "--trials", 2, "-s", "fail_at=1", "-s", "steps=2", "--name", "f"
        )
        assert code == 1
        assert "2 of 2 trials failed" in errors
        assert "asked to fail at step 1" in errors
        assert set(rb.open_sweep("runs/f").trials["state"].to_pylist()) == {"FAIL"}


def test_python_dash_m_is_the_same_program(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "raybayes", "projects", "nothing"],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(Path(rb.__file__).parent.parent)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert "unknown project 'nothing'" in done.stderr
