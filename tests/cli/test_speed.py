"""The options about speed, and what the profile prints."""

import json

import pytest
import yaml

import raybayes as rb
from raybayes.cli.main import main
from raybayes.store.logs.profile import PARTS, ProfileLog

LOCAL = ["sweep", "parabola", "--local", "--trials", "2", "-s", "steps=1", "--name", "s"]


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    """A command line in an empty folder: (exit code, output, errors)."""
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_the_profile_says_where_the_time_went_and_without_slots_that_there_is_none(run):
    assert run(*LOCAL)[0] == 0
    code, output, _ = run("show", "runs/s", "--profile")
    assert code == 0
    assert "no run has finished in a slot yet" in output
    log = ProfileLog(rb.open_sweep("runs/s").layout, 0)
    for trial in range(2):
        times = {**dict.fromkeys(PARTS, 0.0), "training": 9.0, "asking": 1.0}
        log.append({"slot": 1, "node": "n", "trial": trial, "repeat": 0, "ended": 1.0, **times})
    log.flush()
    code, output, _ = run("show", "runs/s", "--profile")
    heading, everything, slot, _ = [line.split() for line in output.splitlines()]
    assert heading[:3] == ["slot", "jobs", "seconds"]
    assert everything == ["all", "2", "20.0", "10.0", "0.0", "90.0", "0.0", "0.0", "0.0", "0.0"]
    assert slot[0] == "1"
    found = json.loads(run("show", "runs/s", "--profile", "--json")[1])
    assert found["slots"][0]["training"] == pytest.approx(0.9)


@pytest.mark.parametrize(
    ("flags", "field", "value"),
    [
        (["--ask-ahead", "never"], "ask_ahead", "never"),
        (["--concurrency", "auto"], "concurrency", "auto"),
        (["--concurrency", "3"], "concurrency", 3),
        (["--weight", "3"], "weight", 3.0),
        (["--retries", "0"], "retries", 0),
        (["--no-isolate"], "isolate", False),
        (["--trials-per-process", "7"], "trials_per_process", 7),
        (["--keep-checkpoints", "1"], "keep_checkpoints", 1),
        (["--checkpoint-every", "1m"], "checkpoint_every", 60.0),
        (["--max-failed-fraction", "0.25"], "max_failed_fraction", 0.25),
    ],
)
def test_options_reach_the_spec(run, flags, field, value):
    assert run(*LOCAL, *flags)[0] == 0
    with open("runs/s/sweep.yaml") as file:
        assert yaml.safe_load(file)[field] == value


@pytest.mark.parametrize("command", [["resume", "runs/s"], ["extend", "runs/s", "--trials", "1"]])
def test_another_number_of_retries_from_now_on(run, command):
    assert run(*LOCAL)[0] == 0
    assert run(*command, "--local", "--retries", "5")[0] == 0
    with open("runs/s/sweep.yaml") as file:
        assert yaml.safe_load(file)["retries"] == 5


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--concurrency", "many"], "concurrency: found 'many'; give a number from 1, or auto"),
        (["--concurrency", "0"], "concurrency: found '0'; give a number from 1, or auto"),
        (["--weight", "0"], "weight: found 0.0; input should be greater than 0"),
        (["--weight", "nan"], "weight: found nan"),
        (["--ask-ahead", "sometimes"], "ask_ahead: found 'sometimes'"),
        (["--retries", "-1"], "retries: found -1; input should be greater than or equal to 0"),
        (["--isolate"], "drop --local or --isolate"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_written(run, tmp_path, flags, words):
    code, _, errors = run(*LOCAL, *flags)
    assert code == 2
    assert words in errors.replace("\n", " ")
    assert not (tmp_path / "runs" / "s").exists()
