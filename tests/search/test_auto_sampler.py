"""What `--sampler auto` stands for."""

import pytest

import raybayes as rb
from raybayes.errors import SpecError
from raybayes.search.auto_sampler import choose_sampler
from raybayes.space import Choice, Float, Int, Space
from raybayes.spec.component import Component

NUMBERS = Space({"x": Float(0.0, 1.0), "n": Int(1, 9)})
MIXED = Space({"x": Float(0.0, 1.0), "kind": Choice("a", "b")})
CONDITIONAL = Space({"kind": Choice("a", "b"), "x": Float(0.0, 1.0, when={"kind": "a"})})
SMALL = Space({"n": Int(1, 9), "kind": Choice("a", "b", "c")})
AUTO = Component.parse("auto")


@pytest.mark.parametrize(
    ("space", "trials", "objectives", "slots", "chosen"),
    [
        (NUMBERS, 100, 1, None, "gp"),
        (NUMBERS, 100, 1, 8, "gp"),
        (NUMBERS, 101, 1, 1, "tpe"),
        (NUMBERS, 100, 1, 9, "tpe"),
        (NUMBERS, 100, 2, 1, "tpe"),
        (MIXED, 50, 1, 1, "tpe"),
        (CONDITIONAL, 50, 1, 1, "tpe"),
        (SMALL, 27, 1, 1, "grid"),
        (SMALL, 26, 1, 1, "tpe"),
        (Space({}), 5, 1, 1, "gp"),
    ],
)
def test_the_choice(space, trials, objectives, slots, chosen):
    assert choose_sampler(AUTO, space, trials, objectives, slots, False) == Component(name=chosen)


def test_a_scheduler_goes_with_a_sampler_that_sees_pruned_trials():
    assert choose_sampler(AUTO, NUMBERS, 50, 1, 1, True) == Component(name="tpe")
    assert choose_sampler(AUTO, SMALL, 27, 1, 1, True) == Component(name="grid")


def test_auto_has_no_options():
    with pytest.raises(SpecError, match=r"auto has no option 'seed'; name the sampler that has it"):
        choose_sampler(Component.parse("auto:seed=1"), NUMBERS, 10, 1, None, False)


def test_what_was_chosen_is_stored_and_stays(tmp_path):
    def loss(config):
        return config["x"]

    first = rb.simulate(loss, NUMBERS, trials=3, sampler="auto", storage=str(tmp_path), name="s", time_budget=1)
    assert first.sweep.spec.sampler == Component(name="gp")
    more = rb.simulate(loss, NUMBERS, trials=300, sampler="auto", storage=str(tmp_path), name="s", time_budget=1)
    assert more.sweep.spec.sampler == Component(name="gp")
    assert str(rb.simulate(loss, MIXED, trials=2, sampler="auto").sweep.spec.sampler) == "tpe"
