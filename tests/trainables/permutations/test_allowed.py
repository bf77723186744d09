"""Fixed places and precedences, beside enumeration."""

import itertools
import random
import re

import numpy as np
import pytest
import torch

from raybayes.errors import SpecError
from trainables.permutations.allowed import Allowed, allowed_orders
from trainables.permutations.distributions.plackett_luce import all_orderings


def meets(order, fixed, before):
    place = {item: at for at, item in enumerate(order)}
    return all(place[i] == p for i, p in fixed.items()) and all(place[a] < place[b] for a, b in before)


@pytest.mark.parametrize("n", [3, 4, 5, 6])
def test_exactly_the_allowed_orders_are_reached_and_they_stay_as_they_are(n):
    rng, orders, impossible = random.Random(n), all_orderings(n), 0
    for _ in range(40):
        fixed = dict(zip(rng.sample(range(n), rng.randrange(3)), rng.sample(range(n), 2), strict=False))
        before = [tuple(rng.sample(range(n), 2)) for _ in range(rng.randrange(4))]
        wanted = {order for order in itertools.permutations(range(n)) if meets(order, fixed, before)}
        if not wanted:
            impossible += 1
            with pytest.raises(SpecError, match=r"cannot both hold|has a cycle"):
                Allowed(n, fixed, before)
            continue
        allowed = Allowed(n, fixed, before)
        reached = allowed(orders)
        assert {*map(tuple, reached.tolist())} == wanted
        kept = torch.tensor(sorted(wanted))
        assert torch.equal(allowed(kept), kept)
    assert impossible


def test_no_demands_allow_everything():
    assert allowed_orders(4, None, None) is None
    assert allowed_orders(4, {}, []) is None
    found = allowed_orders(4, {np.int64(2): np.int64(0)}, torch.tensor([[0, 1]]))
    assert found(torch.tensor([3, 2, 1, 0])).tolist() == [2, 3, 0, 1]


@pytest.mark.parametrize(
    ("fixed", "before", "message"),
    [
        ([0, 1], None, "found fixed = [0, 1]; it must map items to their places"),
        ({0: 9}, None, "found 9 in fixed; items and places are whole numbers from 0 to 3"),
        ({0: 1, 2: 1}, None, "fixed puts several items at place 1"),
        (None, 3, "found before = 3; it must list pairs"),
        (None, [(0, 1, 2)], "it must list pairs"),
        (None, [(0, True)], "found True in before"),
        (None, [(1, 1)], "item 1 to come before itself"),
        (None, [(0, 1), (1, 2), (2, 0)], "before has a cycle among the items [0, 1, 2]"),
        ({0: 3}, [(0, 1)], "cannot both hold"),
    ],
)
def test_demands_that_are_refused(fixed, before, message):
    with pytest.raises(SpecError, match=re.escape(message)):
        allowed_orders(4, fixed, before)
