"""Every shipped space with every task it fits: nothing that is drawn is refused."""

import math
import random

import pytest

import search_spaces.permutations as spaces
from raybayes import catalog
from raybayes.space import Choice, Int
from trainables.permutations import PROJECT

TASKS = {
    "toy": {},
    "tsp": {"task": "tsp"},
    "causal": {"task": "causal"},
    "ranking": {"task": "ranking"},
    "own": {"task": "own", "cost": "own_cost.py:cost", "items": 8},
}
FITS = {
    "SPACE": TASKS,
    "LEAVE_ONE_OUT": TASKS,
    "CONTROL_VARIATES": ("toy", "tsp", "ranking"),
    "PAPER_TOY": ("toy",),
    "CAUSAL": ("causal",),
    "TOURS": ("tsp",),
    "OWN": ("own",),
    "RANKING": ("ranking",),
}


def drawn(space, rng):
    values = {}
    for name in space:
        if not space.is_active(name, values):
            continue
        parameter = space[name]
        if isinstance(parameter, Choice):
            values[name] = rng.choice(parameter.values)
        elif isinstance(parameter, Int):
            values[name] = rng.randrange(parameter.low, parameter.high + 1, parameter.step or 1)
        elif parameter.log:
            values[name] = math.exp(rng.uniform(math.log(parameter.low), math.log(parameter.high)))
        else:
            values[name] = rng.uniform(parameter.low, parameter.high)
    return values


@pytest.mark.parametrize("estimator", ["rloo", "e_reinforce_plus", "t_reinforce_plus", "cross_entropy", "gaussian"])
@pytest.mark.parametrize("task", TASKS)
def test_an_estimator_named_by_hand_goes_with_the_default_space(task, estimator):
    rng, fixed = random.Random(0), {**TASKS[task], "estimator": estimator}
    if task == "toy":
        fixed["samples"] = 4
    left = spaces.SPACE.without(fixed)
    for _ in range(100):
        assert catalog.configure(PROJECT, {**drawn(left, rng), **fixed}).updates >= 1


@pytest.mark.parametrize(("space", "task"), [(name, task) for name, tasks in FITS.items() for task in tasks])
def test_no_configuration_of_a_space_is_refused(space, task):
    rng = random.Random(0)
    fixed = TASKS[task]
    left = getattr(spaces, space).without(fixed)
    for _ in range(2000):
        config = catalog.configure(PROJECT, {**drawn(left, rng), **fixed})
        assert config.updates >= 1
