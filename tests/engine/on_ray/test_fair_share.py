"""Sweeps that share a cluster: who gets how many slots, against enumeration; and two of them on a real Ray."""

import itertools
import threading
import time

import pytest
import ray
from hypothesis import given, settings
from hypothesis import strategies as st

import raybayes as rb
from raybayes.clock import VirtualClock
from raybayes.engine.controller.slot_limit import SlotLimit
from raybayes.engine.on_ray.connect import Node
from raybayes.engine.on_ray.fair_share import (
    LEDGER,
    SILENT_S,
    FairShareClient,
    FairShareLedger,
    ResourceClaim,
    fair_slots,
)
from raybayes.errors import SpecError
from raybayes.spec.sweep_spec import Resources


def claim(weight=1.0, demand=99, workers=1, cpus=1.0, gpus=0.0):
    return ResourceClaim(weight, Resources(workers=workers, cpus_per_worker=cpus, gpus_per_worker=gpus), demand)


@pytest.mark.parametrize(
    ("nodes", "claims", "slots"),
    [
        ([Node(4, 0)], {"a": claim()}, {"a": 4}),
        ([Node(4, 0)], {"a": claim(3), "b": claim(1)}, {"a": 3, "b": 1}),
        ([Node(4, 0)], {"a": claim(), "b": claim()}, {"a": 2, "b": 2}),
        ([Node(4, 0)], {"a": claim(), "b": claim(demand=1)}, {"a": 3, "b": 1}),  # what one does not use
        ([Node(4, 0)], {"a": claim(demand=0), "b": claim()}, {"a": 0, "b": 4}),
        ([Node(4, 0)], {"a": claim(100), "b": claim(1)}, {"a": 3, "b": 1}),  # nobody is left without
        ([Node(2, 0)], {"a": claim(), "b": claim(), "c": claim()}, {"a": 1, "b": 1, "c": 0}),  # the newest waits
        ([Node(2, 0), Node(2, 0)], {"a": claim(workers=3), "b": claim()}, {"a": 1, "b": 1}),
        # The example of the paper: 9 CPUs and 18 GB are here 9 CPUs and 18 GPUs; <1 CPU, 4> and <3 CPUs, 1>.
        ([Node(9, 18)], {"a": claim(cpus=1, gpus=4), "b": claim(cpus=3, gpus=1)}, {"a": 3, "b": 2}),
        # A fraction of a GPU never spans two: three of 0.4 have no room on one.
        ([Node(8, 2)], {"a": claim(gpus=0.4), "b": claim(gpus=0.4)}, {"a": 2, "b": 2}),
        # One needs GPUs, the other CPUs only: they are hardly in each other's way.
        ([Node(8, 2)], {"a": claim(gpus=1), "b": claim()}, {"a": 2, "b": 6}),
        ([Node(4, 0)], {"a": claim(cpus=3), "b": claim(cpus=1)}, {"a": 1, "b": 1}),
    ],
)
def test_who_gets_how_many(nodes, claims, slots):
    assert fair_slots(nodes, claims) == slots


CLAIMS = st.lists(
    st.tuples(st.sampled_from([0.5, 1.0, 2.0, 3.0]), st.integers(0, 6), st.integers(1, 2), st.sampled_from([1.0, 2.0])),
    min_size=1, max_size=3,
)  # fmt: skip


def fits(cpus, needs):
    """Whether workers fit on nodes, tried in every way."""
    if not needs:
        return True
    first, rest = needs[0], needs[1:]
    return any(free >= first and fits([*cpus[:i], free - first, *cpus[i + 1 :]], rest) for i, free in enumerate(cpus))


@given(cpus=st.lists(st.integers(1, 4), min_size=1, max_size=2), given_claims=CLAIMS)
@settings(max_examples=150, deadline=None)
def test_all_fits_and_nothing_that_fits_is_left_over(cpus, given_claims):
    claims = {
        str(number): claim(weight, demand, workers, need)
        for number, (weight, demand, workers, need) in enumerate(given_claims)
    }
    slots = fair_slots([Node(count, 0) for count in cpus], claims)
    workers = [c.need.cpus_per_worker for who, c in claims.items() for _ in range(slots[who] * c.need.workers)]
    assert fits(list(cpus), sorted(workers, reverse=True))
    assert all(slots[who] <= c.demand for who, c in claims.items())
    if len({(c.need.workers, c.need.cpus_per_worker) for c in claims.values()}) == 1:  # else the places may matter
        for who, c in claims.items():
            more = [*workers, *[c.need.cpus_per_worker] * c.need.workers]
            assert slots[who] == c.demand or not fits(list(cpus), sorted(more, reverse=True))


@given(count=st.integers(1, 12), weights=st.lists(st.sampled_from([0.5, 1.0, 2.0, 5.0]), min_size=2, max_size=3))
@settings(max_examples=100, deadline=None)
def test_equal_needs_are_divided_as_the_weights_say(count, weights):
    """No other division of the slots brings the poorest sweep more for its weight (max-min), by enumeration."""
    claims = {str(number): claim(weight) for number, weight in enumerate(weights)}
    slots = list(fair_slots([Node(count, 0)], claims).values())
    poorest = min(have / weight for have, weight in zip(slots, weights, strict=True))
    every = [d for d in itertools.product(range(count + 1), repeat=len(weights)) if sum(d) == count]
    assert sum(slots) == count
    best = max(min(have / weight for have, weight in zip(division, weights, strict=True)) for division in every)
    assert poorest == pytest.approx(best)


def test_a_sweep_that_is_silent_is_forgotten():
    clock = VirtualClock()
    shares = FairShareLedger(lambda: [Node(4, 0)], clock)
    assert shares.update("a", claim()) == 4
    assert shares.update("b", claim()) == 2
    assert shares.update("a", claim()) == 2
    clock.advance(SILENT_S + 1)
    assert shares.update("a", claim()) == 4
    shares.update("b", claim())
    shares.remove("a")
    assert shares.update("b", claim()) == 4


def test_the_limit_is_what_the_others_leave():
    limit = SlotLimit(4)
    assert limit.slots == 4
    limit.granted = 1
    assert (limit.slots, limit.wanted) == (1, 4)
    limit.granted = 9
    assert limit.slots == 4


@pytest.mark.parametrize("weight", [0, -1, float("nan")])
def test_a_weight_is_above_nought(tmp_path, weight):
    with pytest.raises(SpecError, match="weight: found"):
        rb.sweep("parabola", weight=weight, storage=str(tmp_path))


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_the_actor_may_die():
    limit = SlotLimit(9)
    client = FairShareClient("a", 1.0, Resources(), limit)

    def renewed():
        limit.granted = None
        deadline = time.monotonic() + 60
        while limit.granted is None and time.monotonic() < deadline:
            client.renew(1)
            time.sleep(0.05)
        return limit.granted

    assert renewed() == 1
    ray.kill(ray.get_actor(LEDGER, namespace="raybayes"))
    assert renewed() == 1
    client.leave()
    ray.kill(ray.get_actor(LEDGER, namespace="raybayes"))


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_two_sweeps_divide_a_cluster(tmp_path):
    """The first takes both slots; with the second there each has one; when one is over the other takes both."""
    half = ray.cluster_resources()["CPU"] / 2  # two slots on any machine

    def sweep(name, trials, sleep_s):
        config = {"steps": 2, "sleep_s": sleep_s, "method": "plain"}
        return rb.sweep("parabola", trials=trials, sampler="random", config=config, storage=str(tmp_path), name=name,
                        cpus_per_worker=half)  # fmt: skip

    first = threading.Thread(target=sweep, args=("first", 90, 0.15))
    first.start()
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        folder = tmp_path / "first"
        if (folder / "sweep.yaml").exists() and len(rb.open_sweep(str(folder)).reports) > 4:
            break
        time.sleep(0.2)
    second = sweep("second", 8, 0.15)
    first.join(120)
    found = rb.open_sweep(str(tmp_path / "first"))
    assert set(second.trials["state"].to_pylist()) == set(found.trials["state"].to_pylist()) == {"COMPLETE"}
    mine, theirs = found.trials.to_pylist(), second.trials.to_pylist()
    began, ended = min(row["started"] for row in theirs), max(row["ended"] for row in theirs)
    assert began < max(row["ended"] for row in mine), "the second has not waited for the end of the first"
    assert len({row["slot"] for row in second.profile().to_pylist()}) == 1, "it never had more than its share"
    both = [row for row in mine if row["started"] >= began and row["ended"] <= ended]
    assert not any_at_once(both), "the first kept to one slot meanwhile"
    assert any_at_once([row for row in mine if row["started"] > ended]), "then it took the other slot again"


def any_at_once(rows):
    """Whether two of the trials were in training at the same time."""
    rows = sorted(rows, key=lambda row: row["started"])
    return any(later["started"] < earlier["ended"] for earlier, later in itertools.pairwise(rows))
