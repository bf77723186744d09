"""Population-based training: who copies whom, how a configuration is perturbed, every message."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raybayes.errors import SpecError
from raybayes.search.schedulers.population import Population, make_population
from raybayes.search.schedulers.rungs import Curves
from raybayes.space import Choice, Float, Int, Space
from raybayes.spec.component import Component

SPACE = Space(
    {
        "lr": Float(1e-4, 1.0, log=True),
        "momentum": Float(0.0, 0.9, step=0.1),
        "depth": Int(1, 4),
        "width": Int(8, 64, step=8),
        "method": Choice("plain", "swag"),
        "swag.rank": Int(5, 40, when={"method": "swag"}),
    }
)
PLAIN = {"lr": 0.1, "momentum": 0.4, "depth": 2, "width": 16, "method": "plain"}


def at_step(step: int, losses: dict[int, float]) -> Curves:
    curves = Curves()
    for trial, loss in losses.items():
        curves.add(trial, step, loss)
    return curves


# -- exploit -----------------------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 5).map(float), min_size=1, max_size=16), st.sampled_from([0.2, 0.25, 0.5]), st.data())
def test_only_the_worst_copy_and_only_from_the_best(losses, quantile, data):
    population = Population(quantile=quantile, interval=3)
    alive = data.draw(st.sets(st.sampled_from(range(len(losses)))))
    ranked = sorted(range(len(losses)), key=lambda trial: (losses[trial], trial))
    count = int(len(losses) * quantile)
    curves = at_step(3, dict(enumerate(losses)))
    for trial in range(len(losses)):
        parent = population.choose_parent(curves, trial, 3, seed=1, alive=alive)
        may_lend = [other for other in ranked[:count] if other in alive]
        is_worst = trial in ranked[len(ranked) - count :] and losses[trial] > min(losses)
        if len(losses) < 1 / quantile or not is_worst or not may_lend:
            assert parent is None
        else:
            assert parent in may_lend
            assert losses[parent] <= losses[trial]


def test_nobody_copies_between_intervals_or_without_a_report():
    losses = {trial: float(trial) for trial in range(8)}
    population = Population(interval=2)
    assert population.choose_parent(at_step(3, losses), 7, 3, seed=0, alive=losses) is None
    assert population.choose_parent(at_step(2, losses), 7, 2, seed=0, alive=losses) in (0, 1)
    assert population.choose_parent(at_step(2, losses), 99, 2, seed=0, alive=losses) is None


def test_the_lender_is_drawn_from_the_seed():
    losses = {trial: float(trial) for trial in range(40)}
    population, curves = Population(interval=1), at_step(1, losses)
    drawn = [population.choose_parent(curves, 39, 1, seed, losses) for seed in range(300)]
    assert drawn == [population.choose_parent(curves, 39, 1, seed, losses) for seed in range(300)]
    assert set(drawn) == set(range(10))


# -- explore -----------------------------------------------------------------------------------------------------


@given(st.integers(0, 10**6), st.sampled_from([1e-9, 0.25, 1.0]))
def test_a_perturbed_configuration_is_in_the_space(seed, resample):
    child = Population(resample=resample).perturb(SPACE, PLAIN, seed)
    assert SPACE.outside(child) is None
    assert tuple(child) == SPACE.active(child)
    assert child == Population(resample=resample).perturb(SPACE, PLAIN, seed)


def test_without_resampling_numbers_move_by_the_factor_and_names_stay():
    population = Population(resample=1e-9, factor=2.0)
    children = [population.perturb(SPACE, PLAIN, seed) for seed in range(200)]
    assert {child["lr"] for child in children} == {0.05, 0.2}
    assert {child["method"] for child in children} == {"plain"}
    assert {child["depth"] for child in children} == {1, 4}
    assert {child["width"] for child in children} == {8, 32}
    assert {child["momentum"] for child in children} == {0.2, 0.8}
    moved = Counter(child["lr"] for child in children)
    assert 70 < moved[0.05] < 130


def test_a_small_integer_does_not_stay_for_ever():
    space = Space({"depth": Int(1, 4)})
    population = Population(resample=1e-9, factor=1.2)
    assert {population.perturb(space, {"depth": 2}, seed)["depth"] for seed in range(50)} == {1, 3}
    assert {population.perturb(space, {"depth": 1}, seed)["depth"] for seed in range(50)} == {1, 2}
    assert {population.perturb(space, {"depth": 4}, seed)["depth"] for seed in range(50)} == {3, 4}


def test_the_highest_step_can_be_reached():
    space = Space({"x": Float(0.1, 0.3, step=0.1)})
    population = Population(resample=1e-9, factor=1.5)
    assert {population.perturb(space, {"x": 0.2}, seed)["x"] for seed in range(50)} == {0.1, 0.3}


def test_resampling_draws_every_value_equally_often():
    space = Space({"n": Int(0, 2), "x": Float(0.1, 0.3, step=0.1), "m": Choice("a", "b", "c")})
    population = Population(resample=1.0)
    children = [population.perturb(space, {"n": 0, "x": 0.1, "m": "a"}, seed) for seed in range(3000)]
    for name in space:
        counts = Counter(child[name] for child in children)
        assert set(counts) == set(space[name].grid())
        assert all(abs(count - 1000) < 5 * (3000 * 2 / 9) ** 0.5 for count in counts.values())


def test_resampling_a_log_range_is_uniform_in_the_logarithm():
    space = Space({"lr": Float(1e-4, 1.0, log=True)})
    drawn = [Population(resample=1.0).perturb(space, {"lr": 0.5}, seed)["lr"] for seed in range(2000)]
    below = sum(value < 1e-2 for value in drawn)
    assert abs(below - 1000) < 5 * (2000 / 4) ** 0.5


def test_a_parameter_that_comes_into_being_is_drawn():
    space = Space({"method": Choice("swag"), "swag.rank": Int(5, 40, when={"method": "swag"})})
    drawn = {Population(resample=1e-9).perturb(space, {"method": "swag"}, seed)["swag.rank"] for seed in range(50)}
    assert len(drawn) > 10


# -- options -----------------------------------------------------------------------------------------------------


def test_a_population_is_made_from_its_options():
    made = make_population(Component.parse("pbt:size=12,interval=5,quantile=0.2"), Component.parse("tpe"), SPACE, 1)
    assert made == Population(size=12, interval=5, quantile=0.2)


@pytest.mark.parametrize(
    ("scheduler", "sampler", "space", "objectives", "words"),
    [
        ("pbt", "cmaes", SPACE, 1, ["pbt is also the sampler", "--sampler cmaes", "drop --sampler"]),
        ("pbt", "grid", SPACE, 1, ["pbt is also the sampler", "--sampler grid", "drop --sampler"]),
        ("pbt", "tpe", SPACE, 2, ["one objective", "--objective"]),
        ("pbt", "tpe", Space({}), 1, ["no parameter to perturb: all are fixed", "leave at least one free"]),
        (
            "pbt:siz=3",
            "tpe",
            SPACE,
            1,
            ["scheduler pbt has no option 'siz'; did you mean 'size'?", "size (default 8)", "quantile (default 0.25)"],
        ),
        ("pbt:size=2.5", "tpe", SPACE, 1, ["size = 2.5", "whole number"]),
        ("pbt:interval=0", "tpe", SPACE, 1, ["interval = 0", "number above 0"]),
        ("pbt:quantile=0.6", "tpe", SPACE, 1, ["quantile = 0.6", "at most 0.5", "overlap"]),
        ("pbt:resample=2", "tpe", SPACE, 1, ["resample = 2", "must be between 0 and 1"]),
        ("pbt:factor=1", "tpe", SPACE, 1, ["factor = 1", "number above 1"]),
        ("pbt:size=3", "tpe", SPACE, 1, ["size = 3", "quantile = 0.25 needs at least 4"]),
    ],
)
def test_a_population_that_cannot_work_is_refused(scheduler, sampler, space, objectives, words):
    with pytest.raises(SpecError) as caught:
        make_population(Component.parse(scheduler), Component.parse(sampler), space, objectives)
    assert [word for word in words if word not in str(caught.value)] == []
