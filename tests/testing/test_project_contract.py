"""The shipped contracts in another repository: one that keeps them passes, each broken promise fails its own test."""

import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

PROJECT = """
import torch
from pydantic import BaseModel, ConfigDict, Field
from raybayes.contract import Metric, Project

class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    lr: float = Field(0.1, gt=0, description="step size of gradient descent")
    epochs: int = Field(3, ge=1, description="passes over the data")

def train(config, ctx):
    generator = ctx.rng("data")
    x = torch.randn(20, 1, generator=generator)
    y = 3 * x + 0.1 * torch.randn(20, 1, generator=generator)
    slope, start = torch.zeros(1), 0
    if (state := ctx.resume()) is not None:
        slope, start = state["slope"], state["epoch"]
    for epoch in range(start + 1, config.epochs + 1):
        slope = slope - config.lr * 2 * (x * (x * slope - y)).mean()
        ctx.report(
            {"loss": ((x * slope - y) ** 2).mean().item()}, state=lambda: {"slope": slope, "epoch": epoch}
        )

PROJECT = Project(
    name="NAME", summary="least squares", paper="A. M. Legendre 1805", Config=Config, train=train,
    metrics=(Metric("loss", "minimize", doc="mean squared error"),), fidelity="epoch", parallel="data",
    smoke={"epochs": 3}, max_steps=lambda config: config.epochs,
)
"""
SPACE = """
from raybayes.space import Float, Space

SPACE = Space({"lr": Float(1e-3, 1.0, log=True)})
"""
TEST = """
import pytest
from raybayes import catalog
from raybayes.testing import ProjectContract, SpaceContract

class TestNAME(ProjectContract):
    @pytest.fixture
    def project(self):
        return catalog.load_project("NAME")

class TestNAMESpace(SpaceContract):
    @pytest.fixture
    def space(self):
        return catalog.load_spaces("NAME")["SPACE"]
"""
# What is changed in the project, and a promise that it breaks.
RESUMED = "test_a_resumed_run_equals_an_uninterrupted_one"
SMOKE = "test_the_smoke_run_is_short_and_finite"
BROKEN = {
    "forgetful": ("ctx.resume()", "None", RESUMED),
    "unseeded": ('ctx.rng("data")', "torch.Generator().manual_seed(0)", "test_another_seed_gives_other_numbers"),
    "diverging": ("Field(0.1, gt=0", "Field(1e30, gt=0", SMOKE),
    "outside": ("Field(0.1, gt=0", "Field(1.5, gt=0", "test_the_space_holds_the_default_configuration"),
    "unexplained": ('doc="mean squared error"', 'doc=""', "test_every_metric_is_explained"),
    "undescribed": (', description="passes over the data"', "", "test_every_key_is_explained"),
    "ambiguous": ('fidelity="epoch"', 'fidelity="loss"', "test_no_metric_is_named_like_the_fidelity"),
    "longer": ("max_steps=lambda config: config.epochs", "max_steps=lambda config: 9", SMOKE),
    "divided": (".mean().item()", ".mean().item() / ctx.world_size", "test_two_ranks_agree_with_one"),
}


def repository(folder: Path, projects: dict[str, str]) -> Path:
    """Another repository's files: a project, a space and a test each."""
    for part in ("trainables", "search_spaces", "tests"):
        (folder / part).mkdir()
    for name, source in projects.items():
        (folder / "trainables" / name).mkdir()
        (folder / "trainables" / name / "__init__.py").write_text(source.replace("NAME", name))
        (folder / "search_spaces" / f"{name}.py").write_text(SPACE)
        (folder / "tests" / f"test_{name}.py").write_text(TEST.replace("NAME", name))
    return folder


def outcomes(folder: Path, *options: str) -> dict[str, dict[str, str]]:
    """What pytest says in that folder: "passed", "failed" or "skipped" by project and test."""
    found: dict[str, dict[str, str]] = {}
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--junit-xml=found.xml", "-p", "no:cacheprovider", *options],
        cwd=folder, capture_output=True, text=True, timeout=240, check=False,
    )  # fmt: skip
    assert ran.returncode in (0, 1), ran.stdout + ran.stderr
    for case in ElementTree.parse(folder / "found.xml").iter("testcase"):
        kind = next((child.tag for child in case if child.tag in ("failure", "error", "skipped")), "passed")
        found.setdefault(case.attrib["classname"].split(".test_")[1].split(".")[0], {})[case.attrib["name"]] = kind
    return found


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    """All tests of the project that keeps its promises; of each other one the test of the promise that it breaks."""
    changed = {name: PROJECT.replace(before, after) for name, (before, after, _) in BROKEN.items()}
    assert PROJECT not in changed.values()
    folder = repository(tmp_path_factory.mktemp("elsewhere"), {"slope": PROJECT, **changed})
    tests = [f"tests/test_{name}.py::Test{name}::{test}" for name, (_, _, test) in BROKEN.items()]
    return outcomes(folder, "tests/test_slope.py", *tests)


def test_a_project_in_another_repository_inherits_its_contract(found):
    skipped = {
        "test_seeds_trained_together_report_what_they_report_apart",
        "test_the_project_knows_every_name",
        "test_most_configurations_can_run",
    }
    assert {name for name, kind in found["slope"].items() if kind == "skipped"} == skipped
    assert set(found["slope"].values()) == {"passed", "skipped"}
    assert len(found["slope"]) >= 17


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_a_broken_promise_fails_its_own_test(found, name):
    ((test, kind),) = found[name].items()
    assert test == BROKEN[name][2]
    assert kind in ("failure", "error")
