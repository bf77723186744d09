"""`raybayes confirm`, warm starts and narrowing at the command line."""

import json

import pytest

from raybayes.cli.main import main

NOISY = ["-s", "noise=0.5", "-s", "steps=2", "--local"]


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(line, *more):
        code = main([*line.split(), *more])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_search_confirm_show(run):
    code, output, errors = run("sweep parabola --trials 6 --name s", *NOISY)
    assert code == 0, errors
    assert "(n = 1; optimistic, because it was selected on this value; `raybayes confirm`" in " ".join(output.split())
    assert "best " in errors
    assert "(n = 1) in trial" in errors
    code, output, errors = run("confirm runs/s --top 2 --repeats 3 --local")
    assert code == 0, errors
    assert "Best of 2 confirmed" in output
    assert " ± " in output
    _, shown, _ = run("show runs/s --json")
    told = json.loads(shown)
    (best,) = told["best"]
    row = next(row for row in told["trials"] if row["trial"] == best)
    assert row["n"] == 3
    assert row["loss.se"] > 0
    assert f"trial {best}: loss" in told["best_summary"]
    assert told["checkpoint_bytes"] > 0
    code, output, _ = run("extend runs/s --trials 2 -s method=plain --keep-checkpoints 0 --local --json")
    assert code == 0
    assert [row["config.method"] for row in json.loads(output)["trials"]][-2:] == ["plain"] * 2
    assert json.loads(output)["checkpoint_bytes"] == 0


def test_a_sweep_that_learns_and_confirms_by_itself(run):
    run("sweep parabola --trials 4 --name old", *NOISY)
    code, output, errors = run("sweep parabola --trials 4 --name new --warm-start auto --confirm 2x2", *NOISY)
    assert code == 0, errors
    assert "Best of 2 confirmed" in output
    code, output, _ = run("show runs/new --json")
    trials = json.loads(output)["trials"]
    _, old, _ = run("show runs/old --json")
    assert trials[1]["config.lr"] in [row["config.lr"] for row in json.loads(old)["trials"]]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("confirm runs/none", ["not a sweep"]),
        ("sweep parabola --confirm five --local", ["found 'five'", "write TOPxSEEDS", "5x3"]),
        ("sweep parabola --warm-start runs/none --local", ["not a sweep"]),
        (
            "sweep parabola --report-timeout soon --local",
            ["report_timeout: found 'soon'; write seconds, or a duration such as 90s"],
        ),
        ("sweep parabola --report-timeout 1m --local", ["trial that hangs"]),
        ("sweep parabola --scheduler median --objective loss,size --local", ["one objective", "asha or hyperband"]),
    ],
)
def test_mistakes_get_a_sentence_and_leave_nothing(run, tmp_path, line, words):
    code, _, errors = run(line)
    assert code == 2
    assert [word for word in words if word not in errors] == [], errors
    assert list(tmp_path.iterdir()) == []


def test_no_feasible_trial_is_said_in_one_sentence(run):
    code, output, _ = run("sweep parabola --trials 2 --name s --constraint size<=0 --local -s steps=2")
    assert code == 0
    assert "None of the 2 complete trials satisfies size <=0" in output
