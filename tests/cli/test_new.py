"""`raybayes new NAME`: a project to start from, in any folder."""

import subprocess
import sys

import pytest

import raybayes as rb
from raybayes.cli.main import main


@pytest.fixture
def empty(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_it_is_swept_at_once_and_keeps_its_promises(empty, capsys):
    assert main(["new", "sine_fit"]) == 0
    assert "raybayes sweep sine_fit --trials 10" in capsys.readouterr().out
    assert main(["sweep", "sine_fit", "--trials", "3", "--local", "--name", "s", "-s", "epochs=5"]) == 0
    assert rb.open_sweep("runs/s").trials["state"].to_pylist() == ["COMPLETE"] * 3
    contract = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "tests/test_sine_fit.py"]
    ran = subprocess.run(contract, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize(
    ("name", "sentence"),
    [("My-Fit", "use small letters"), ("class", "use small letters"), ("flows", "there is a project flows already")],
)
def test_a_name_that_cannot_be_is_refused(empty, capsys, name, sentence):
    assert main(["new", name]) == 2
    assert sentence in capsys.readouterr().err
    assert list(empty.iterdir()) == []


def test_no_file_is_overwritten(empty, capsys):
    (empty / "tests").mkdir()
    (empty / "tests" / "test_mine.py").write_text("mine")
    assert main(["new", "mine"]) == 2
    assert "tests/test_mine.py is there already" in capsys.readouterr().err
    assert (empty / "tests" / "test_mine.py").read_text() == "mine"
    assert not (empty / "trainables").exists()
