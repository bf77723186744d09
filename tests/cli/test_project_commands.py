"""Commands that projects offer on their runs: found by the run alone, checked like everything else."""

import json
import logging
from pathlib import Path

import pytest

import raybayes as rb
from raybayes.cli.main import main
from raybayes.reporting.terminal.live import ProgressView


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("runs"))
    return rb.train("parabola", {"steps": 2}, storage=folder, name="run", executor="local").path


@pytest.fixture
def run(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def call(*arguments):
        code = main([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


def test_a_command_prints_its_tables_and_writes_its_files(run, finished):
    code, output, _ = run("distance", "1.5", "3", "--run", finished, "--label", "near", "--power", "2")
    assert code == 0
    assert "near" in output
    x = float(rb.open_sweep(finished).state()["x"].mean())
    written = json.loads(Path("distance/distance.json").read_text())
    assert written["distances"] == [
        {"point": "near", "distance": pytest.approx((1.5 - x) ** 2)},
        {"point": "3", "distance": pytest.approx((3 - x) ** 2)},
    ]
    assert Path("distance/a-picture.png").read_bytes().startswith(b"\x89PNG")


def test_json_and_another_folder(run, finished):
    code, output, _ = run("distance", "1", "--run", finished, "--json", "--out", "there", "--label=one")
    assert code == 0
    found = json.loads(output)
    assert found["findings"]["distances"][0]["point"] == "one"
    assert found["files"] == ["there/distance.json", "there/a-picture.png"]


def test_the_same_from_python(finished):
    found = rb.open_sweep(finished).command("distance", ["0"], {"label": ["origin"]})
    assert found.tables["distances"]["point"].to_pylist() == ["origin"]


def test_help(run):
    code, output, _ = run("distance", "--help")
    assert code == 0
    for word in ("raybayes distance POINT... --run PATH", "--power", "1.0", "of the distance", "--label", "--out"):
        assert word in output
    code, output, _ = run("projects", "parabola")
    assert "raybayes distance POINT... --run PATH" in output


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["distance", "1"], ["works on a run of parabola", "--run PATH"]),
        (["distnace", "1"], ["unknown command 'distnace'", "did you mean 'distance'", "train"]),
        (["swep", "parabola"], ["unknown command 'swep'", "did you mean 'sweep'"]),
        (["distance", "1", "--run", "nowhere"], ["nowhere"]),
        (["farness", "1", "--run", "RUN"], ["is a run of parabola", "no command 'farness'", "it has distance"]),
        (["distance", "1", "--run", "RUN", "--powr", "2"], ["no option '--powr'", "did you mean '--power'"]),
        (["distance", "1", "--run", "RUN", "--power", "-2"], ["power", "greater than 0"]),
        (["distance", "1", "--run", "RUN", "--power"], ["--power needs a value"]),
        (["distance", "1", "--run", "RUN", "--power", "1", "--power", "2"], ["given twice"]),
        (["distance", "--run", "RUN"], ["needs a point"]),
    ],
)
def test_mistakes(run, finished, arguments, words):
    code, output, errors = run(*[finished if word == "RUN" else word for word in arguments])
    assert code == 2
    assert output == ""
    for word in words:
        assert word in errors, errors
    assert errors.count("\n") == 1


def test_a_run_without_a_stored_state(finished, tmp_path):
    found = rb.open_sweep(finished)
    with pytest.raises(rb.StoreError, match="trial 7 has no stored state; trials with one: 0"):
        found.state(7)


def test_train_shows_what_the_training_function_logs(capsys):
    log = logging.getLogger("raybayes.trial.0.0.rank0")
    with ProgressView("run", quiet=False, trial_log=True):
        log.info("scenes are brought to %d pixels", 320)
    log.info("nobody hears this")
    with ProgressView("sweep", quiet=False):
        log.info("nor this")
    errors = capsys.readouterr().err
    assert errors.count("scenes are brought to 320 pixels") == 1
    assert "this" not in errors
