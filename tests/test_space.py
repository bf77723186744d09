"""Search spaces: what a range contains, conditions, fixed parameters, the grid, the description, every message."""

import json
import math
import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raybayes.errors import SpaceError
from raybayes.space import Choice, Float, Int, Parameter, Space

CONDITIONAL = Space(
    {
        "lr": Float(1e-3, 1.0, log=True),
        "swag.rank": Int(5, 40, step=5, when={"method": ("swag", "multiswag")}),
        "method": Choice("single", "swag", "multiswag"),
        "swag.runs": Choice(1, 2, when={"swag.rank": 5, "method": "multiswag"}),
    }
)

_STEPS = {"float": st.sampled_from([0.1, 0.25, 0.3, 1.0]), "int": st.integers(1, 3)}


@st.composite
def ladders(draw: st.DrawFn, when: dict[str, Any] | None = None) -> Parameter:
    """A parameter with few values."""
    kind = draw(st.sampled_from(["choice", "int", "float"]))
    if kind == "choice":
        values = draw(
            st.lists(st.sampled_from(["a", "b", "c", None, True, 2, 3.5]), min_size=1, max_size=3, unique=True)
        )
        return Choice(*values, when=when)
    step = draw(_STEPS[kind])
    low = draw(st.integers(-3, 3)) if kind == "int" else draw(st.sampled_from([-1.0, 0.0, 0.1, 0.7]))
    high = low + draw(st.integers(0, 3)) * step
    return Int(low, high, step=step, when=when) if kind == "int" else Float(low, high, step=step, when=when)


@st.composite
def spaces(draw: st.DrawFn) -> Space:
    """Up to four parameters, each conditional on some of those before it, in a shuffled table."""
    table: dict[str, Parameter] = {}
    for name in ["p", "q.r", "s", "t.u.v"][: draw(st.integers(0, 4))]:
        when: dict[str, Any] = {}
        for other in draw(st.lists(st.sampled_from(sorted(table)), unique=True, max_size=2)) if table else []:
            values = table[other].grid()
            assert values is not None
            chosen = draw(st.lists(st.sampled_from(values), min_size=1, unique=True))
            when[other] = chosen[0] if len(chosen) == 1 and draw(st.booleans()) else tuple(chosen)
        table[name] = draw(ladders(when or None))
    return Space(dict(draw(st.permutations(list(table.items())))))


def _key(point: dict[str, Any]) -> str:
    return json.dumps(point, sort_keys=True)


# -- ranges ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parameter", "inside", "outside"),
    [
        (Float(0.1, 0.3), [0.1, 0.2, 0.3], [0.0999, 0.3001, math.nan, math.inf, "0.2", None, True]),
        (Float(0, 1), [0, 1, 0.5], [2, -1]),
        (Float(0.1, 0.5, step=0.1), [0.1, 0.2, 0.1 + 2 * 0.1, 0.5], [0.15, 0.6]),
        (Int(1, 5), [1, 5], [0, 6, 2.0, "2", True]),
        (Int(2, 8, step=3), [2, 5, 8], [3, 6]),
        (Choice("a", 2, None), ["a", 2, None], ["b", 2.0, True, "None"]),
        (Choice(True, False), [True, False], [1, 0, "True"]),
        (Choice(1, 2), [1, 2], [True, 1.0]),
    ],
)
def test_contains(parameter, inside, outside):
    assert [value for value in inside if not parameter.contains(value)] == []
    assert [value for value in outside if parameter.contains(value)] == []


def test_a_stepped_range_is_listed_in_the_decimals_it_is_written_in():
    assert Float(0.1, 0.3, step=0.1).grid() == (0.1, 0.2, 0.3)
    assert Float(0.0, 0.9, step=0.3).grid() == (0.0, 0.3, 0.6, 0.9)
    assert Int(1, 9, step=4).grid() == (1, 5, 9)
    assert Float(2.0, 2.0).grid() == (2.0,)
    assert Float(0.0, 1.0).grid() is None


@given(ladders(), st.floats(-10, 10))
def test_nearest_is_the_nearest_of_the_grid(parameter, value):
    if isinstance(parameter, Choice):
        return
    values = parameter.grid()
    near = parameter.nearest(value)
    assert near in values
    assert type(near) is (int if isinstance(parameter, Int) else float)
    assert abs(near - value) <= min(abs(other - value) for other in values) + 1e-9


def test_nearest_of_a_continuous_range_only_cuts():
    assert Float(0.5, 2.0).nearest(1.234) == 1.234
    assert Float(0.5, 2.0).nearest(9.0) == 2.0
    assert Float(1e-3, 1.0, log=True).nearest(0.0) == 1e-3


@pytest.mark.parametrize(
    ("parameter", "words"),
    [
        (Float(0.1, 0.01), ["lr", "low 0.1", "high 0.01", "swap"]),
        (Int(5, 2), ["lr", "low 5", "high 2", "swap"]),
        (Float(0.0, 1.0, log=True), ["lr", "low > 0", "found 0", "raise low or drop log"]),
        (Int(0, 4, log=True), ["lr", "low > 0", "found 0", "raise low or drop log"]),
        (Float(0.1, 1.0, step=0.0), ["lr", "step", "above 0", "found 0.0"]),
        (Float(0.1, 1.0, step=-1.0), ["lr", "step", "above 0", "found -1.0"]),
        (Float(0.1, 1.0, step=math.nan), ["lr", "step", "above 0", "nan"]),
        (Float(0.1, 1.0, step="0.1"), ["lr", "step", "number", "'0.1'"]),
        (Float(0.1, 1.0, log=True, step=0.1), ["lr", "cannot have both log and step", "drop one"]),
        (Int(1, 9, log=True, step=2), ["lr", "cannot have both log and step", "drop one"]),
        (Float(0.1, math.inf), ["lr", "high is inf", "finite number"]),
        (Float(math.nan, 1.0), ["lr", "low is nan", "finite number"]),
        (Float("1e-3", 1.0), ["lr", "low is '1e-3'", "finite number"]),
        (Float(False, 1.0), ["lr", "low is False", "finite number"]),
        (Int(1.0, 3), ["lr", "low is 1.0", "not an integer", "use Float"]),
        (Int(1, True), ["lr", "high is True", "not an integer", "use Float"]),
        (Int(1, 3, step=0.5), ["lr", "step is 0.5", "not an integer"]),
        (Choice(), ["lr", "no values", "at least one"]),
        (Choice("a", {"b": 1}), ["lr", "{'b': 1}", "string, number, boolean, None, or a list", "use one of these"]),
        (
            Choice(
                (1, math.nan),
            ),
            ["lr: Choice cannot contain NaN"],
        ),
        (Choice([64, 64], (64, 64)), ["lr", "twice", "a list and its tuple", "keep one"]),
        (Float(0, 1, step=0.3), ["lr", "steps of 0.3", "do not end at 1", "0 to 0.9 or 0 to 1.2"]),
        (Int(1, 10, step=4), ["lr", "steps of 4", "1 to 9 or 1 to 13", "another step"]),
        (Choice("a", "b", "a"), ["lr", "'a', 'b', 'a'", "twice", "keep one"]),
        (Choice(1, True), ["lr", "1, True", "twice", "equal", "keep one"]),
        (Choice(1.0, math.nan), ["lr: Choice cannot contain NaN", "use another value"]),
        ((0.1, 1.0), ["lr", "(0.1, 1.0)", "Float, Int or Choice"]),
    ],
)
def test_a_wrong_range_is_named(parameter, words):
    with pytest.raises(SpaceError) as caught:
        Space({"lr": parameter})
    assert [word for word in words if word not in str(caught.value)] == []


# -- conditions --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("when", "words"),
    [
        ({"metod": "sse"}, ["sse.cycles: when= names an unknown parameter 'metod'; did you mean 'method'?"]),
        ({"zzz": "sse"}, ["sse.cycles", "unknown parameter 'zzz'; valid parameters: method, depth, sse.cycles."]),
        ({"method": "swag"}, ["sse.cycles", "method = 'swag'", "Choice('single', 'sse')", "cannot have"]),
        ({"method": ("sse", "swag")}, ["sse.cycles", "method = 'swag'"]),
        ({"depth": 7}, ["sse.cycles", "depth = 7", "Int(low=1, high=3"]),
        ({"method": ()}, ["sse.cycles", "no value for method", "at least one"]),
        ({"sse.cycles": 2}, ["sse.cycles", "form a cycle", "remove one"]),
    ],
)
def test_a_wrong_condition_is_named(when, words):
    with pytest.raises(SpaceError) as caught:
        Space({"method": Choice("single", "sse"), "depth": Int(1, 3), "sse.cycles": Int(2, 8, when=when)})
    assert [word for word in words if word not in str(caught.value)] == []


def test_conditions_in_a_circle_are_named():
    with pytest.raises(SpaceError, match=r"a, b form a cycle; remove one"):
        Space({"a": Int(1, 2, when={"b": 1}), "b": Int(1, 2, when={"a": 1}), "c": Int(1, 2)})


def test_parameters_come_after_what_they_depend_on():
    assert tuple(CONDITIONAL) == ("lr", "method", "swag.rank", "swag.runs")
    assert CONDITIONAL.conditional
    assert not Space({"lr": Float(0, 1)}).conditional


@pytest.mark.parametrize(
    ("values", "names"),
    [
        ({"method": "single", "swag.rank": 5}, ("lr", "method")),
        ({"method": "swag", "swag.rank": 5}, ("lr", "method", "swag.rank")),
        ({"method": "multiswag", "swag.rank": 5}, ("lr", "method", "swag.rank", "swag.runs")),
        ({"method": "multiswag", "swag.rank": 10}, ("lr", "method", "swag.rank")),
        ({}, ("lr", "method")),
    ],
)
def test_what_is_active(values, names):
    assert CONDITIONAL.active(values) == names


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"lr": 0.1, "method": "single"}, None),
        ({"lr": 0.1, "method": "swag", "swag.rank": 10}, None),
        ({"method": "single"}, ["lr", "no value"]),
        ({"lr": 2.0, "method": "single"}, ["lr: found 2.0; its range is 0.001 to 1"]),
        ({"lr": 0.1, "method": "sse"}, ["method: found 'sse'; it is one of 'single', 'swag', 'multiswag'"]),
        ({"lr": 0.1, "method": "swag", "swag.rank": 7}, ["swag.rank: found 7; its range is", "in steps of 5"]),
        ({"lr": 0.1, "method": "swag"}, ["swag.rank", "no value"]),
    ],
)
def test_why_a_configuration_is_outside(values, words):
    problem = CONDITIONAL.outside(values)
    if words is None:
        assert problem is None
    else:
        assert [word for word in words if word not in problem] == []


# -- fixing parameters -------------------------------------------------------------------------------------------


def test_what_a_fixed_parameter_leaves():
    single = CONDITIONAL.without({"method": "single"})
    assert tuple(single) == ("lr",)
    multiswag = CONDITIONAL.without({"method": "multiswag"})
    assert multiswag["swag.rank"] == Int(5, 40, step=5)
    assert multiswag["swag.runs"] == Choice(1, 2, when={"swag.rank": 5})
    assert tuple(CONDITIONAL.without({"method": "unheard of"})) == ("lr",)
    assert CONDITIONAL.without({"members": 4}) == CONDITIONAL


def test_the_condition_of_a_fixed_parameter_is_inherited():
    left = CONDITIONAL.without({"swag.rank": 5})
    assert left["swag.runs"] == Choice(1, 2, when={"method": "multiswag"})
    assert left.active({"lr": 0.1, "method": "single"}) == ("lr", "method")
    assert "swag.runs" not in CONDITIONAL.without({"swag.rank": 10})
    assert "swag.runs" not in CONDITIONAL.without({"method": "single", "swag.rank": 5})


@given(spaces(), st.data())
def test_fixing_equals_filtering_the_grid(space, data):
    fixed = {}
    for name in space:
        if data.draw(st.booleans()):
            fixed[name] = data.draw(st.sampled_from(space[name].grid()))
    wanted = {
        _key({name: value for name, value in point.items() if name not in fixed})
        for point in space.grid()
        if all(point[name] == value for name, value in fixed.items() if name in point)
    }
    # A conditional parameter that is fixed takes part only where it exists; so do those that depend on it.
    found = space.without(fixed).grid()
    assert {_key(point) for point in found} == wanted
    assert len(found) == len(wanted)


# -- the grid ----------------------------------------------------------------------------------------------------


@given(spaces())
def test_grid_points_are_inside_and_differ(space):
    points = space.grid()
    assert [space.outside(point) for point in points if space.outside(point)] == []
    assert len({_key(point) for point in points}) == len(points)
    assert all(tuple(point) == space.active(point) for point in points)


def test_the_grid_of_a_conditional_space():
    space = Space({"method": Choice("a", "b"), "b.k": Int(1, 2, when={"method": "b"}), "x": Float(0.0, 0.2, step=0.2)})
    assert space.grid() == [
        {"method": "a", "x": 0.0},
        {"method": "a", "x": 0.2},
        {"method": "b", "b.k": 1, "x": 0.0},
        {"method": "b", "b.k": 1, "x": 0.2},
        {"method": "b", "b.k": 2, "x": 0.0},
        {"method": "b", "b.k": 2, "x": 0.2},
    ]
    assert Space({}).grid() == [{}]


def test_a_continuous_range_has_no_grid():
    with pytest.raises(SpaceError, match=r"lr: Float\(low=0.0, high=1.0.*infinitely many values; a grid needs step="):
        Space({"lr": Float(0.0, 1.0)}).grid()


# -- the description ---------------------------------------------------------------------------------------------


@given(spaces())
def test_a_description_says_everything(space):
    text = json.dumps(space.describe())
    again = Space.from_description(json.loads(text))
    assert again == space
    assert hash(again) == hash(space)
    assert again.describe() == space.describe()
    assert again.grid() == space.grid()


def test_a_description_of_log_ranges():
    space = Space({"lr": Float(1e-5, 1, log=True), "n": Int(1, 64, log=True), "x": Float(0, 1)})
    assert space.describe() == {
        "lr": {"float": [1e-5, 1.0], "log": True},
        "n": {"int": [1, 64], "log": True},
        "x": {"float": [0.0, 1.0]},
    }
    assert Space.from_description(space.describe()) == space


def test_spaces_that_mean_the_same_are_equal():
    assert Space({"x": Float(0, 1)}) == Space({"x": Float(0.0, 1.0)})
    one = Space({"m": Choice("a", "b"), "x": Int(1, 2, when={"m": "a"})})
    other = Space({"m": Choice("a", "b"), "x": Int(1, 2, when={"m": ["a"]})})
    assert one == other
    assert one.digest() == other.digest()
    assert Space({"x": Choice(1, 0)}) != Space({"x": Choice(True, False)})
    assert Space({"x": Int(1, 3)}) != Space({"x": Float(1, 3)})
    assert Space({"x": Int(1, 3)}) != Space({"x": Int(1, 4)})


def test_the_digest_is_the_same_in_every_process():
    program = (
        "from raybayes.space import *;"
        "print(Space({'m': Choice('a','b','c','d'), 'x': Int(1, 2, when={'m': {'a','b','c'}})}).digest())"
    )
    seen = set()
    for seed in "123":
        ran = subprocess.run(
            [sys.executable, "-c", program], env={"PYTHONHASHSEED": seed}, capture_output=True, text=True, check=True
        )
        seen.add(ran.stdout.strip())
    assert len(seen) == 1
    assert len(seen.pop()) == 16


def test_the_representation_can_be_pasted():
    names = {"Space": Space, "Float": Float, "Int": Int, "Choice": Choice}
    assert eval(repr(CONDITIONAL), names) == CONDITIONAL


@pytest.mark.parametrize(
    "entry", [{}, {"floaty": [0, 1]}, {"int": [1]}, {"float": 3}, {"float": [0.0, 1.0, 2.0]}, {"log": True}]
)
def test_an_unreadable_description_is_named(entry):
    with pytest.raises(SpaceError) as caught:
        Space.from_description({"lr": entry})
    for word in ("lr", repr(entry), "choice: [values]", "int: [low, high]", "float: [low, high]"):
        assert word in str(caught.value)


def test_a_description_may_name_a_single_condition_value():
    table = {"m": {"choice": ["sse", "one"]}, "x": {"int": [1, 2], "when": {"m": "sse"}}}
    assert Space.from_description(table).active({"m": "sse"}) == ("m", "x")


def test_constants_are_single_values_without_a_condition():
    space = Space(
        {
            "preset": Choice("small"),
            "lr": Float(0.1, 0.1),
            "depth": Int(1, 3),
            "width": Choice(8, when={"depth": 2}),
        }
    )
    assert space.constants() == {"preset": "small", "lr": 0.1}
