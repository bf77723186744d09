"""A training by its place."""

import sys

import pytest

from raybayes.errors import SpecError
from raybayes.training.reference import load_reference


@pytest.fixture(autouse=True)
def _modules(monkeypatch):
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def test_a_file_and_what_lies_beside_it(tmp_path, monkeypatch):
    (tmp_path / "fit_it.py").write_text("import beside_it\n\ndef train(config): return beside_it.VALUE\n")
    (tmp_path / "beside_it.py").write_text("VALUE = 2.5\n")
    assert load_reference(f"{tmp_path}/fit_it.py:train")({}) == 2.5
    assert load_reference("fit_it.py:train", str(tmp_path))({}) == 2.5


def test_a_file_that_is_called_like_a_library(tmp_path, monkeypatch):
    (tmp_path / "json.py").write_text("def train(config): return 1.5\n")
    assert load_reference(f"{tmp_path}/json.py:train")({}) == 1.5
    import json

    assert json.loads("1") == 1


def test_a_module_of_a_package(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "inner_package").mkdir()
    (tmp_path / "inner_package" / "__init__.py").write_text("")
    (tmp_path / "inner_package" / "fit.py").write_text("train = len\n")
    assert load_reference("inner_package.fit:train") is len


@pytest.mark.parametrize(
    ("content", "text", "words"),
    [
        (None, "nowhere.py:train", "there is no file nowhere.py"),
        ("def train(config): pass", "it.py:trian", "it.py has no 'trian'; did you mean 'train'?"),
        ("x = 1", "it.py:", "write FILE.py:NAME or PACKAGE.MODULE:NAME"),
        ("x = 1\nraise RuntimeError('no GPU')", "it.py:train", r"it\.py, line 2\): RuntimeError: no GPU"),
        ("def f(:\n", "it.py:train", r"it\.py, line 1\): SyntaxError"),
        ("import sys\nsys.exit(3)", "it.py:train", r"it\.py, line 2\): SystemExit: 3"),
        ("import no_such_library", "it.py:train", "No module named 'no_such_library'"),
        (None, "no_such_package.fit:train", "No module named 'no_such_package'"),
    ],
)
def test_what_cannot_be_loaded_is_said_with_its_place(tmp_path, monkeypatch, content, text, words):
    monkeypatch.chdir(tmp_path)
    if content is not None:
        (tmp_path / "it.py").write_text(content)
    with pytest.raises(SpecError, match=words):
        load_reference(text)
