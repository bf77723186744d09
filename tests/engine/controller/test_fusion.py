"""Which runs are trained together: how many, and what is alike."""

import pytest

import raybayes as rb
from raybayes.engine.controller.fusion import FusionPlanner
from raybayes.engine.messages import TrialRun
from raybayes.errors import SpecError
from raybayes.search.plan import make_plan
from raybayes.space import Float, Space
from raybayes.spec.sweep_spec import SweepSpec
from raybayes.store.filesystem import open_storage


def planner(fuse, trials=40, sampler="tpe", scheduler="none"):
    space = Space({"lr": Float(0.01, 1.0)})
    spec = SweepSpec(project="parabola", name="s", trials=trials, sampler=sampler, fuse=fuse, scheduler=scheduler)
    return FusionPlanner(spec, make_plan(spec, space, rb.catalog.load_project("parabola").metrics, {}))


@pytest.mark.parametrize(
    ("fuse", "sampler", "share", "size"),
    [
        ("never", "random", 9, 1),
        ("auto", "random", 5, 5),  # every slot gets the same number
        ("auto", "random", 40, 8),  # what the project finds good
        ("auto", "tpe", 40, 4),  # a tenth of the sweep
        (6, "tpe", 40, 6),
        (6, "tpe", 3, 3),
        (60, "tpe", 40, 40),  # who says a number knows the device
    ],
)
def test_how_many(tmp_path, fuse, sampler, share, size):
    run = TrialRun("parabola", {"lr": 0.5}, 0, 0, 0, open_storage(str(tmp_path)), 10.0)
    found = planner(fuse, sampler=sampler)
    assert found.group_size(run, share) == size
    found.unfuse(run.key)
    assert found.group_size(run, share) == 1


def test_alike_is_what_the_project_says(tmp_path):
    storage = open_storage(str(tmp_path))
    plain, other, momentum, wrong = (
        TrialRun("parabola", config, number, 0, 0, storage, 10.0)
        for number, config in enumerate([{}, {"lr": 0.5}, {"method": "momentum"}, {"lr": -1.0}])
    )
    found = planner("auto")
    assert found.matcher(plain)(other)
    assert not found.matcher(plain)(momentum)
    assert not found.matcher(plain)(wrong)
    assert found.group_size(wrong, 9) == 1
    found.unfuse(other.key)
    assert not found.matcher(plain)(other)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"workers": 2}, "not in 2 workers"),
        ({"scheduler": "pbt"}, "members of pbt wait for each other"),
        ({"isolate": True}, "isolate one per process"),
        ({"fuse": 1}, "fuse: found 1; give a number from 2, auto, or never"),
        ({"fuse": "all"}, "fuse: found 'all'; give a number from 2"),
    ],
)
def test_what_cannot_be_is_refused(tmp_path, changes, words):
    with pytest.raises(SpecError, match=words):
        rb.sweep("parabola", **{"fuse": "auto", "storage": str(tmp_path), **changes})
    assert list(tmp_path.iterdir()) == []


def test_a_project_that_cannot_names_those_that_can(tmp_path, monkeypatch):
    broken = tmp_path / "trainables" / "crooked" / "__init__.py"
    broken.parent.mkdir(parents=True)
    broken.write_text("import no_such_library\n")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SpecError, match=r"fuse: flows cannot train several trials .* those that can: .*parabola"):
        rb.sweep("flows", fuse="auto", storage=str(tmp_path / "runs"))
