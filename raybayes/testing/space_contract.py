"""What every search space promises: what is drawn from it lies in it, and what is written of it is read again."""

from __future__ import annotations

import json
from typing import Any

import pytest

from raybayes import catalog
from raybayes.contract import Metric, Project
from raybayes.errors import SpecError
from raybayes.search.plan import make_plan
from raybayes.search.preview import preview_configurations
from raybayes.space import Choice, Space
from raybayes.spec.sweep_spec import make_spec

DRAWS = 64


class SpaceContract:
    """Inherit it and give the fixture `space`; a second fixture `project` checks the space against its project too.

    Example:
        >>> class TestSlopeSpace(SpaceContract):                                # doctest: +SKIP
        ...     @pytest.fixture
        ...     def space(self):
        ...         return catalog.load_spaces("slope")["SPACE"]
    """

    @pytest.fixture
    def space(self) -> Space:
        """The space under test."""
        raise NotImplementedError("give the fixture `space`: return catalog.load_spaces('<project>')['SPACE']")

    @pytest.fixture
    def project(self) -> Project | None:
        """The project whose configurations these are; None: the space is tested alone."""
        return None

    def test_the_ends_of_each_range_lie_in_it(self, space: Space) -> None:
        for name in space:
            parameter = space[name]
            for value in parameter.values if isinstance(parameter, Choice) else (parameter.low, parameter.high):
                assert parameter.contains(value), f"{name}: {value!r}"

    def test_what_is_drawn_lies_in_the_space(self, space: Space) -> None:
        for values in _drawn(space):
            assert space.outside(values) is None
            assert set(values) == set(space.active(values)), "a condition that does not hold, or holds unseen"

    def test_the_same_seed_draws_the_same(self, space: Space) -> None:
        assert _drawn(space, seed=1) == _drawn(space, seed=1)

    def test_a_space_is_read_as_it_was_written(self, space: Space) -> None:
        assert Space.from_description(json.loads(json.dumps(space.describe()))) == space

    def test_the_project_knows_every_name(self, space: Space, project: Project | None) -> None:
        if project is None:
            pytest.skip("the fixture `project` is not given")
        assert set(space) <= set(catalog.documentation(project))

    def test_most_configurations_can_run(self, space: Space, project: Project | None) -> None:
        """At most half may be refused by the Config, the share of failed trials at which a sweep fails."""
        if project is None:
            pytest.skip("the fixture `project` is not given")
        refused = [problem for values in _drawn(space) if (problem := _refusal(project, values))]
        assert len(refused) <= DRAWS / 2, refused[0]


def _drawn(space: Space, seed: int = 0) -> list[dict[str, Any]]:
    spec = make_spec("sweep", {"project": "space", "sampler": "random", "seed": seed, "trials": DRAWS}, "space")
    return preview_configurations(make_plan(spec, space, (Metric("loss", "minimize"),), {}), DRAWS)


def _refusal(project: Project, values: dict[str, Any]) -> str | None:
    try:
        catalog.configure(project, values)
    except SpecError as error:
        return str(error)
    return None
