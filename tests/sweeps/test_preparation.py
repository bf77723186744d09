"""Preparing a sweep: everything is looked up once, and what must fail fails before anything is written."""

from pathlib import Path

import pytest

import raybayes as rb
from raybayes import catalog
from raybayes.spec.sweep_spec import make_spec
from raybayes.sweeps.preparation import prepare, prepare_resume, prepare_start

COUNTING = """
from pydantic import BaseModel, ConfigDict, model_validator

from raybayes.contract import Metric, Project

built, checked = [], []


class Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")
    lr: float = 0.1
    fixed: int = 0

    @model_validator(mode="after")
    def _count(self):
        built.append(self)
        return self


def train(config, ctx):
    ctx.report({"loss": config.lr})


PROJECT = Project("counting", "counts", "", Config, train, (Metric("loss", "minimize"),), "epoch", "data",
                  check=lambda config, data: checked.append(config))
"""


def spec(storage, **values):
    return make_spec("sweep", {"project": "parabola", "storage": storage, "name": "s", **values}, "sweep")


@pytest.fixture
def counting(tmp_path, monkeypatch):
    """A project that counts how often its Config is built."""
    monkeypatch.chdir(tmp_path)
    Path("trainables/counting").mkdir(parents=True)
    Path("trainables/counting/__init__.py").write_text(COUNTING)
    Path("search_spaces").mkdir()
    Path("search_spaces/counting.py").write_text(
        "from raybayes.space import Float, Space\nSPACE = Space({'lr': Float(0.1, 1)})\n"
    )
    project = catalog.load_project("counting")
    return vars(__import__(project.Config.__module__, fromlist=["built"]))


def test_each_first_configuration_is_built_once(counting, tmp_path):
    prepare(spec(tmp_path, project="counting", trials=3, config={"fixed": 1}))
    firsts = counting["built"][2:]  # before them: what is fixed, and the defaults
    assert len(firsts) == 3
    assert len({config.lr for config in firsts}) == 3
    assert counting["checked"] == firsts[:1], "the project looks at the first one, and not at a copy"


def test_what_is_prepared_is_checked_and_complete(tmp_path):
    prepared = prepare(spec(tmp_path, config={"momentum": {"beta": "0.5"}}, scheduler="asha"))
    assert prepared.spec.config == {"momentum.beta": 0.5}
    assert "momentum.beta" not in prepared.plan.space
    assert prepared.roots
    assert list(tmp_path.iterdir()) == []


def test_a_name_that_is_taken_is_refused_at_a_start_and_not_at_a_resume(tmp_path):
    made = rb.sweep("parabola", trials=1, config={"steps": 1}, storage=tmp_path, name="s", executor="local")
    other = spec(tmp_path, config={"steps": 2})
    with pytest.raises(rb.SpecError, match=r"already exists and is another sweep:\n  config\.steps: 1 -> 2"):
        prepare_start(other)
    assert prepare(other).spec.config == {"steps": 2}, "a dry run asks for no name"
    assert prepare_resume(made.spec, made).spec == made.spec
    run = {"storage": tmp_path, "name": "run", "executor": "local"}
    rb.train("parabola", {"steps": 1}, **run)
    with pytest.raises(rb.SpecError, match="is finished; choose another --name to train again"):
        rb.train("parabola", {"steps": 1}, **run)
