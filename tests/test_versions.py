"""The releases of Ray and Optuna: declared once, refused by a sentence with both versions."""

import importlib.metadata
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from raybayes import versions
from raybayes.errors import SpecError
from raybayes.versions import RANGES, require_version

ROOT = Path(__file__).parent.parent


def test_pyproject_declares_the_same_ranges():
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    found = {word.partition("[")[0].partition(">")[0]: word.partition(">=")[2] for word in declared}
    assert {name: tuple(found[name].split(",<")) for name in RANGES} == RANGES


@pytest.mark.parametrize("package", RANGES)
def test_what_is_installed_is_accepted(package):
    require_version(package)


@pytest.mark.parametrize("found", ["2.55.1", "2.61.0", "3.0.0", "2.9.3", "2.61.0.dev0"])
def test_another_ray_is_refused_with_both_versions(monkeypatch, found):
    monkeypatch.setattr(versions, "version", lambda package: found)
    with pytest.raises(SpecError) as refused:
        require_version("ray")
    wanted = "ray>=2.56,<2.61"
    assert str(refused.value) == f"found ray {found}; raybayes works with {wanted}: run pip install '{wanted}'."


@pytest.mark.parametrize("found", ["2.56.0", "2.57.1", "2.60.9"])
def test_the_range_is_accepted(monkeypatch, found):
    monkeypatch.setattr(versions, "version", lambda package: found)
    require_version("ray")


def test_none_is_refused_too(monkeypatch):
    def missing(package):
        raise importlib.metadata.PackageNotFoundError(package)

    monkeypatch.setattr(versions, "version", missing)
    with pytest.raises(SpecError, match=r"ray is not installed; run pip install 'ray>=2.56,<2.61', or train without"):
        require_version("ray")


def test_the_command_line_refuses_another_optuna(tmp_path):
    """Before it imports what that one may lack."""
    code = (
        "import importlib.metadata as m; real = m.version\n"
        "m.version = lambda name: '4.9.0' if name == 'optuna' else real(name)\n"
        "import sys; from raybayes.cli.main import main; sys.exit(main(sys.argv[1:]))"
    )
    arguments = ["sweep", "ensembles", "--trials", "1", "--local", "--storage", str(tmp_path)]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    wanted = "optuna>=5.0,<5.1"
    assert done.stderr == (f"raybayes: found optuna 4.9.0; raybayes works with {wanted}: run pip install '{wanted}'.\n")
