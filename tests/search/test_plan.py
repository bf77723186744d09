"""The plan: what a sweep will do, and every combination that is refused before it starts."""

from typing import Any

import pytest

from raybayes import catalog
from raybayes.contract import Metric
from raybayes.errors import RaybayesError, SpaceError, SpecError
from raybayes.search.objective import Objective
from raybayes.search.plan import Plan, make_plan
from raybayes.search.preview import preview_configurations
from raybayes.search.schedulers.population import Population
from raybayes.search.schedulers.rungs import Asha, NoPruning
from raybayes.space import Choice, Float, Int, Space
from raybayes.spec.sweep_spec import SweepSpec
from raybayes.spec.validation import build

METRICS = (
    Metric("loss", "minimize"),
    Metric("score", "maximize"),
    Metric("final", "minimize", every_report=False),
)
SPACE = Space(
    {
        "lr": Float(0.01, 1.0, log=True),
        "method": Choice("plain", "swag"),
        "swag.rank": Int(5, 40, when={"method": "swag"}),
    }
)
DEFAULTS = {"lr": 0.1, "method": "plain", "swag.rank": 20, "epochs": 3}
STEPPED = Space({"lr": Choice(0.1, 0.2), "n": Int(1, 2)})


def plan(space: Space = SPACE, defaults: dict[str, Any] = DEFAULTS, metrics=METRICS, **values: Any) -> Plan:
    return make_plan(
        build(SweepSpec, {"project": "parabola", "name": "one", **values}, "sweep"), space, metrics, defaults
    )


def test_a_plan_of_defaults():
    made = plan()
    assert made.objectives == (Objective("loss", "minimize"),)
    assert made.scheduler == NoPruning()
    assert made.population is None
    assert made.grid is None
    assert made.first == made.required_values(0) == {"lr": 0.1, "method": "plain"}
    assert made.required_values(1) is None
    assert made.remark == ""


def test_objectives_take_their_directions_from_the_project():
    assert plan(objective="score,loss").objectives == (Objective("score", "maximize"), Objective("loss", "minimize"))
    assert plan(objective="final").objectives == (Objective("final", "minimize"),)


def test_fixed_parameters_leave_the_space():
    made = plan(config={"method": "swag"}, defaults={**DEFAULTS, "method": "swag"})
    assert tuple(made.space) == ("lr", "swag.rank")
    assert not made.space.conditional
    assert made.first == {"lr": 0.1, "swag.rank": 20}


@pytest.mark.parametrize(
    ("defaults", "words"),
    [
        (
            {"lr": 5.0},
            [
                "default configuration is outside the space and is not tried first",
                "lr: found 5.0; its range is",
                "to 1",
            ],
        ),
        ({"method": "sse"}, ["not tried first", "method: found 'sse'; it is one of"]),
        ({"method": "swag", "swag.rank": 100}, ["not tried first", "swag.rank: found 100; its range is the integers"]),
    ],
)
def test_a_default_outside_the_space_gives_a_remark(defaults, words):
    made = plan(defaults={**DEFAULTS, **defaults})
    assert made.first is None
    assert made.required_values(0) is None
    assert [word for word in words if word not in made.remark] == []


def test_a_default_between_two_steps_gives_a_remark():
    made = plan(Space({"n": Int(2, 8, step=2)}), {"n": 3})
    assert made.first is None
    assert "n: found 3" in made.remark


def test_a_default_of_an_inactive_parameter_does_not_count():
    assert plan(defaults={**DEFAULTS, "swag.rank": 1000}).first == {"lr": 0.1, "method": "plain"}


def test_a_grid_gives_each_point_once():
    made = plan(STEPPED, sampler="grid")
    assert made.grid == tuple(STEPPED.grid())
    assert [made.required_values(number) for number in range(5)] == [*STEPPED.grid(), None]
    assert preview_configurations(made, 4) == STEPPED.grid()


def test_schedulers():
    assert plan(scheduler="asha:eta=4").scheduler == Asha(1, 4)
    population = plan(scheduler="pbt:size=4")
    assert population.population == Population(size=4)
    assert population.scheduler == NoPruning()


def test_the_preview_is_what_the_sweep_asks(tmp_path):
    from raybayes.search.study.study import Study

    made = plan(seed=3)
    study = Study(str(tmp_path / "journal"), made.space, made.objectives)
    asked = [study.ask(made.factory, made.required_values(number))[1] for number in range(4)]
    assert preview_configurations(made, 4) == asked
    assert preview_configurations(plan(seed=3), 4) == asked
    assert preview_configurations(plan(seed=4), 4)[1:] != asked[1:]


@pytest.mark.parametrize(
    ("values", "kind", "words"),
    [
        (
            {"objective": "acc"},
            SpecError,
            ["parabola has no metric 'acc'; valid metrics: loss, score, final."],
        ),
        ({"objective": "loss,loss"}, SpecError, ["twice", "loss, loss", "keep one"]),
        (
            {"constraints": {"seconds": "<= 60"}},
            SpecError,
            ["parabola has no metric 'seconds'; valid metrics"],
        ),
        ({"sampler": "tpr"}, SpecError, ["'tpr'", "did you mean 'tpe'?"]),
        ({"sampler": "cmaes", "objective": "loss,score"}, SpecError, ["cmaes", "one objective"]),
        ({"sampler": "grid"}, SpaceError, ["lr", "infinitely many values", "step="]),
        ({"scheduler": "asah"}, SpecError, ["'asah'", "did you mean 'asha'?"]),
        ({"scheduler": "asha:eta=0"}, SpecError, ["eta = 0", "above 1"]),
        (
            {"scheduler": "median", "objective": "loss,score"},
            SpecError,
            ["scheduler median needs one objective", "found loss, score", "asha or hyperband or none"],
        ),
        (
            {"scheduler": "median", "objective": "final"},
            SpecError,
            ["scheduler median", "final is in the last report only", "--objective loss or --scheduler none"],
        ),
        ({"scheduler": "pbt", "objective": "final"}, SpecError, ["scheduler pbt", "final is in the last report only"]),
        ({"scheduler": "pbt", "sampler": "nsga2"}, SpecError, ["pbt is also the sampler", "nsga2", "drop --sampler"]),
        ({"scheduler": "pbt", "objective": "loss,score"}, SpecError, ["pbt", "one objective"]),
        (
            {"scheduler": "pbt", "config": {"lr": 0.1, "method": "plain"}},
            SpecError,
            ["no parameter to perturb: all are fixed"],
        ),
    ],
)
def test_what_cannot_work_is_refused(values, kind, words):
    with pytest.raises(RaybayesError) as caught:
        plan(**values)
    assert type(caught.value) is kind
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)


def test_without_a_metric_in_each_report_there_is_no_scheduler():
    with pytest.raises(SpecError, match=r"final is in the last report only; use --scheduler none\."):
        plan(metrics=METRICS[2:], scheduler="asha")


@pytest.mark.parametrize("name", catalog.project_names())
def test_the_plans_of_real_projects(name):
    project = catalog.load_project(name)
    for space in set(catalog.load_spaces(name)) - {
        "WRONG",
        "OWN",
    }:  # one for the tests of mistakes; one that needs a user's cost
        made = plan(catalog.load_space(project, space), catalog.defaults(project), project.metrics, project=name)
        for params in preview_configurations(made, 3):
            assert made.space.outside(params) is None
            catalog.configure(project, params)
