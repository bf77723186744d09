"""`import raybayes as rb`: flat, complete, typed; a user's file passes mypy --strict against the wheel."""

import inspect
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

import raybayes as rb
from raybayes._version import __version__

ROOT = Path(__file__).parent.parent
GOOD = '''
"""A project of a user, and a sweep over it."""

from collections.abc import Mapping
from pathlib import Path

import raybayes as rb
from pydantic import BaseModel

SPACE = rb.Space({"lr": rb.Float(1e-4, 1, log=True), "depth": rb.Int(1, 4), "method": rb.Choice("sse", "swag")})


class Config(BaseModel):
    lr: float = 0.1


def train(config: Config, ctx: rb.Context) -> None:
    ctx.report({"loss": config.lr}, state=lambda: {"lr": config.lr})


PROJECT = rb.Project(
    "mine", "a line", "none", Config, train, (rb.Metric("loss", "minimize"),), fidelity="epoch", parallel="data"
)


def loss(config: Mapping[str, float]) -> float:
    return config["lr"]


def show(progress: rb.Progress) -> None:
    print(progress.states)


def search(storage: Path) -> rb.Sweep:
    try:
        sweep = rb.sweep("mine", trials=4, time_budget="10m", storage=storage, fuse="auto", watch=show)
    except rb.OutOfTime as error:
        raise SystemExit(error.exit_code) from error
    sweep = rb.resume(Path(sweep.path), time_budget=3600, keep_checkpoints=3, checkpoint_every="30s")
    rb.simulate(loss, SPACE, trials=8, workers=2, scheduler="asha")
    return sweep.extend(2, retries=0).confirm(2, 3, executor="local")
'''
WRONG = """
import raybayes as rb

rb.sweep("mine", trails=4)
rb.sweep("mine", trials="many")
rb.train("mine", space="SPACE")
rb.open_sweep("runs/a").extent(3)
rb.swep("mine")
rb.Metric("loss", "smaller")
"""


def test_every_public_name_is_there_with_a_docstring():
    assert set(dir(rb)) == set(rb.__all__)
    for name in rb.__all__:
        if name != "__version__":
            assert inspect.getdoc(getattr(rb, name)), name
    assert rb.__version__ == __version__
    with pytest.raises(AttributeError, match="has no attribute 'swep'; it has Choice, "):
        _ = rb.swep


def test_what_the_calls_return_is_one_class():
    for call in (rb.sweep, rb.train, rb.resume, rb.extend, rb.confirm, rb.open_sweep):
        assert inspect.signature(call).return_annotation == "Sweep"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The Python of an environment that has the wheel of this source, and the libraries of the running one."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=120)
    venv.create(folder / "env", with_pip=False)
    (site,) = (folder / "env").glob("lib/python*/site-packages")
    (wheel,) = folder.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(site)
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "env" / "bin" / "python"


def checked(python, file, text):
    file.write_text(text)
    command = [sys.executable, "-m", "mypy", "--strict", "--python-executable", str(python), file.name]
    ran = subprocess.run(command, cwd=file.parent, capture_output=True, text=True, timeout=280, check=False)
    return ran.stdout + ran.stderr


@pytest.mark.slow(reason="builds the wheel, and mypy reads all of it")
def test_a_file_of_a_user_passes_mypy_strict_and_mistakes_do_not(installed, tmp_path):
    wheel = next(installed.parents[2].glob("*.whl"))
    assert "raybayes/py.typed" in zipfile.ZipFile(wheel).namelist()
    assert wheel.name.startswith(f"raybayes-{__version__}-")
    assert "Success: no issues found" in checked(installed, tmp_path / "user.py", GOOD)
    problems = checked(installed, tmp_path / "wrong.py", WRONG).splitlines()
    assert [int(line.split(":")[1]) for line in problems if ": error:" in line] == [4, 5, 6, 7, 8, 9], problems
