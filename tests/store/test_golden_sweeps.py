"""Whole sweeps of every schema, as they were written: they are read, shown, resumed, extended and confirmed."""

import json
import shutil
from pathlib import Path

import pytest
import yaml

import raybayes as rb
from raybayes.cli.main import main
from raybayes.store.schema import SCHEMA

GOLDEN = Path(__file__).parent / "golden"
SCHEMAS = range(1, SCHEMA + 1)
TIMES = {"seconds", "started", "ended", "node", "failure"}  # what two equal sweeps do not share


def opened(schema, name):
    return rb.open_sweep(GOLDEN / f"schema-{schema}" / name)


def numbers(table):
    return [{k: v for k, v in row.items() if k not in TIMES} for row in table.to_pylist()]


@pytest.fixture(params=SCHEMAS, ids=lambda schema: f"schema-{schema}")
def copies(request, tmp_path):
    """A folder with copies of the golden sweeps of one schema."""
    shutil.copytree(GOLDEN / f"schema-{request.param}", tmp_path / "runs")
    return tmp_path / "runs"


@pytest.mark.parametrize("schema", SCHEMAS)
def test_the_files_have_their_schema(schema):
    for file in (GOLDEN / f"schema-{schema}").rglob("sweep.yaml"):
        assert yaml.safe_load(file.read_text())["schema"] == schema


@pytest.mark.parametrize("name", ["sweep", "run", "paused"])
def test_every_schema_is_read_alike(name):
    newest = opened(SCHEMA, name)
    for schema in SCHEMAS:
        found = opened(schema, name)
        assert found.spec == newest.spec
        assert (found.space, found.objectives) == (newest.space, newest.objectives)
        if name != "paused":  # which was stopped at another moment
            assert numbers(found.trials) == numbers(newest.trials)
            assert found.reports["loss"].to_pylist() == newest.reports["loss"].to_pylist()


@pytest.mark.parametrize("schema", SCHEMAS)
class TestReading:
    def test_a_sweep_with_every_kind_of_end(self, schema):
        found = opened(schema, "sweep")
        assert str(found.spec.scheduler) == "asha:grace_period=2,eta=2"
        assert (found.spec.time_budget, found.spec.keep_checkpoints, found.spec.max_failed_fraction) == (3600, 2, 0.9)
        rows = found.trials.to_pylist()
        ends = "COMPLETE PRUNED PRUNED PRUNED COMPLETE COMPLETE PRUNED PRUNED PRUNED FAIL PRUNED FAIL"
        assert " ".join(row["state"] for row in rows) == ends
        assert [row["steps"] for row in rows] == [6, 2, 2, 2, 6, 6, 2, 2, 2, 1, 4, 1]
        assert [row["loss"] for row in rows[:2]] == pytest.approx([1.0995116277760004, 7.167988721118754])
        assert "asked to fail at step 2" in rows[9]["failure"]
        assert found.tables == ["path"]
        assert found.state(0)

    def test_its_confirmation(self, schema):
        found = opened(schema, "sweep")
        (stage,) = found.stages
        assert (stage.spec.kind, stage.spec.repeats, len(stage.trials)) == ("confirm", 2, 2)
        assert sorted(found.confirmed) == [0, 4]
        assert found.best["trial"] == 0
        assert found.best_summary.startswith("Best of 2 confirmed: trial 0")

    def test_a_run(self, schema):
        found = opened(schema, "run")
        assert found.spec.kind == "train"
        assert found.reports["loss"].to_pylist() == pytest.approx([10.24, 6.5536, 4.194304])


def test_it_is_shown_reported_and_exported(copies, capsys, monkeypatch):
    monkeypatch.chdir(copies.parent)
    assert main(["show", "runs/sweep", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["best"] == [0]
    assert (
        main(["show", "runs/run"]) == main(["report", "runs/paused"]) == main(["watch", "runs/paused", "--once"]) == 0
    )
    assert main(["export", "runs/sweep", "--format", "json", "--out", "t.json"]) == 0
    assert "1 paused" in Path("runs/paused/report.html").read_text()
    assert len(json.loads(Path("t.json").read_text())) == 12


def test_a_paused_sweep_is_finished_with_the_numbers_of_an_uninterrupted_one(copies, tmp_path):
    found = rb.resume(copies / "paused", executor="local")
    assert yaml.safe_load((copies / "paused" / "sweep.yaml").read_text())["schema"] == SCHEMA
    whole = rb.sweep("parabola", trials=5, config={"steps": 5}, seed=1, storage=tmp_path / "whole", executor="local")
    columns = ["trial", "state", "steps", "loss", "config.lr", "config.method", "config.momentum.beta"]
    assert found.trials.select(columns).to_pylist() == whole.trials.select(columns).to_pylist()
    keys = [(row["trial"], row["step"]) for row in found.reports.to_pylist()]
    assert sorted(keys) == [(trial, step) for trial in range(5) for step in range(1, 6)], "nothing lost, nothing twice"
    assert found.trials["attempts"].to_pylist() == [1, 2, 1, 1, 1]


def test_a_sweep_is_extended_and_confirmed_again(copies):
    more = rb.extend(copies / "sweep", 1, executor="local")
    assert len(more.trials) == 13
    assert numbers(more.trials.slice(0, 12)) == numbers(opened(SCHEMA, "sweep").trials)
    assert len(rb.confirm(copies / "sweep", 1, 3, executor="local").stages) == 2
    again = rb.resume(copies / "sweep" / "confirm-1", executor="local")
    assert again.best["trial"] == 0


def test_another_start_of_an_old_sweep_is_refused_by_the_names_of_today(copies):
    with pytest.raises(rb.SpecError, match=r"config\.steps: 5 -> 6\n  config\.sleep_s: 0\.3 -> not set"):
        rb.sweep("parabola", trials=5, config={"steps": 6}, seed=1, storage=copies, name="paused", executor="local")
