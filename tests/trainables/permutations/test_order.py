"""A user's own function of an order."""

import math
import re
from pathlib import Path

import numpy as np
import pytest
import torch

from raybayes.errors import SpecError, TrialError
from trainables.permutations import minimise_order
from trainables.permutations.distributions.plackett_luce import all_orderings

TIMES = torch.tensor([3.0, 1.0, 4.0, 1.5, 9.0, 2.6])
DUES = torch.tensor([4.0, 20.0, 9.0, 6.0, 30.0, 7.0])


def tardiness(orders):
    return (TIMES[orders].cumsum(-1) - DUES[orders]).clamp_min(0).sum(-1)


def test_it_finds_the_optimum_of_a_small_schedule():
    found = minimise_order(tardiness, 6, evaluations=6000)
    assert found.cost == pytest.approx(float(tardiness(all_orderings(6)).min()), abs=1e-5)
    assert float(tardiness(found.order.unsqueeze(0))) == pytest.approx(found.cost, abs=1e-5)
    assert found.evaluations <= 6000
    assert found.history[:, 0].min() < found.history[0, 0]
    assert 0 < found.repeats < 1


@pytest.mark.parametrize(
    "settings",
    [{"estimator": "reinforce_ema"}, {"estimator": "relax"}, {"estimator": "relax_centred", "critic.width": 16},
     {"estimator": "relax", "critic.warmup": 5}, {"entropy": 0.3, "lr_decay": "cosine"},
     {"model": "matching"}, {"estimator": "gaussian", "samples": 4}, {"estimator": "rloo", "samples": 2}],
)  # fmt: skip
def test_other_settings_work_too(settings):
    found = minimise_order(tardiness, 6, evaluations=800, runs=2, **settings)
    assert sorted(found.order.tolist()) == list(range(6))
    assert found.cost <= float(tardiness(all_orderings(6)).double().mean())


def test_arrays_and_lists_are_numbers_too():
    as_array = minimise_order(lambda b: tardiness(b).numpy().astype(np.float64), 6, evaluations=400)
    as_list = minimise_order(lambda b: tardiness(b).tolist(), 6, evaluations=400)
    assert as_array.order.tolist() == as_list.order.tolist()


def test_one_seed_one_answer_and_the_global_generator_is_left_alone():
    before = torch.random.get_rng_state()
    one, two, three = (minimise_order(tardiness, 6, 400, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.theta, two.theta)
    assert not torch.equal(one.theta, three.theta)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize(
    ("n", "settings", "message"),
    [
        (1, {}, "n = 1; an order needs an integer n >= 2"),
        (2.5, {}, "n = 2.5; an order needs an integer n >= 2"),
        (4, {"evaluations": 2}, "each run needs at least one evaluation"),
        (4, {"samples": 1}, "^estimator = rloo uses a leave-one-out baseline and needs samples >= 2; found 1"),
        (4, {"estimator": "relax", "critic.tau": 0.0}, "critic.tau"),
        (4, {"learning_rate": 0.1}, "^minimise_order has no setting 'learning_rate'.*; see"),
        (4, {"task": "tsp"}, "^minimise_order has no setting 'task'.*; see"),
        (4, {"critic.tau": -1.0}, r"^critic\.tau: found -1\.0; input should be greater than 0; see"),
        (4, {"restarts": 3}, "raise runs instead"),
        (4, {"estimator": "straight_through"}, "needs a relaxation of f"),
        (4, {"estimator": "relax", "critic.of": "relaxed"}, "needs a relaxation of f"),
    ],
)
def test_wrong_calls(n, settings, message):
    with pytest.raises(SpecError, match=message):
        minimise_order(lambda b: b[:, 0].double(), n, **settings)


def test_wrong_answers():
    with pytest.raises(SpecError, match=r"f returned shape \((\d+), 4\) for \1 orders; .* shape \(\1,\)"):
        minimise_order(lambda b: b.double(), 4)
    with pytest.raises(SpecError, match="f returned str, which is not convertible to numbers"):
        minimise_order(lambda b: "low", 4)
    with pytest.raises(TrialError, match="is nan; costs must be finite"):
        minimise_order(lambda b: torch.full((len(b),), math.nan), 4)


def test_the_examples_of_the_page_run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    page = Path(__file__).parents[3] / "docs" / "projects" / "permutations.md"
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, str(page), "exec"), {"__name__": "example"})


def test_a_start_a_callback_and_numpy_integers():
    seen = []
    known = torch.arange(6)
    stop = lambda update, best: seen.append((update, best)) or update >= 2  # noqa: E731
    found = minimise_order(tardiness, np.int64(6), evaluations=np.int64(800), start=known.tolist(), callback=stop)
    assert [update for update, _ in seen] == [0, 1, 2]
    assert len(found.history) == 3
    assert found.cost <= seen[-1][1] <= float(tardiness(known[None]))


def test_every_argument_is_refused_in_a_sentence():
    for arguments, message in [
        ({"n": 2.5}, "n = 2.5; an order needs an integer"),
        ({"runs": 0}, "runs = 0; it must be a whole number >= 1"),
        ({"start": [0, 0, 1, 2, 3, 4]}, "it must be an order of 0 to 5"),
        ({"f": 3}, "f must be a function"),
        ({"start": "abc"}, "found start = abc; it must be an order of 0 to 5"),
        ({"start": [0, 1, 2, 3, 4, 5], "fixed": {0: 5}}, "does not respect fixed and before"),
        ({"seed": -1}, "seed = -1; it must be a whole number >= 0"),
        ({"callback": 3}, "callback must be a function of an update's number"),
        ({"keep": 0}, "keep = 0; it must be a whole number >= 1"),
        ({"repeats": 0.5}, "repeats = 0.5; it must be a whole number >= 1"),
        ({"progress": 1}, "progress = 1; it must be True or False"),
        ({"resume": 3}, "resume = 3; it must be the path of a file"),
        ({"resume": "/absent/x"}, "it must be a file in a folder that exists"),
        ({"device": "gpu7"}, "found device = 'gpu7', which cannot be used"),
        ({"estimator": "unordered", "n": 3, "runs": 1}, "3 items have 6 different orders"),
    ]:
        with pytest.raises(SpecError, match=re.escape(message)):
            minimise_order(**{"f": tardiness, "n": 6, "evaluations": 400, **arguments})


def test_no_order_is_evaluated_twice():
    asked = []

    def cost(orders):
        asked.extend(map(tuple, orders.tolist()))
        return tardiness(orders)

    found = minimise_order(cost, 6, evaluations=400, runs=2)
    assert len(asked) == found.evaluations <= 400
    assert len(set(asked)) == found.evaluations - 1  # one is looked at again, to notice a function that is random


def test_fixed_places_and_precedences_hold_for_every_order_that_is_evaluated():
    asked = []

    def cost(orders):
        asked.append(orders)
        return tardiness(orders)

    found = minimise_order(cost, 6, evaluations=600, fixed={4: 0}, before=[(3, 1), (5, 2)], keep=5)
    orders, place = torch.cat(asked), torch.cat(asked).argsort(-1)
    assert (orders[:, 0] == 4).all()
    assert (place[:, 3] < place[:, 1]).all()
    assert (place[:, 5] < place[:, 2]).all()
    every = all_orderings(6)
    at = every.argsort(-1)
    every = every[(at[:, 4] == 0) & (at[:, 3] < at[:, 1]) & (at[:, 5] < at[:, 2])]
    lowest = tardiness(every).double().sort().values
    assert found.cost == pytest.approx(float(lowest[0]), abs=1e-5)
    assert found.costs.tolist() == pytest.approx(lowest[:5].tolist(), abs=1e-5)
    assert len({*map(tuple, found.orders.tolist())}) == 5
    assert found.orders[0].tolist() == found.order.tolist()


def test_an_interrupted_search_continues_as_if_it_had_not_been(tmp_path, monkeypatch):
    monkeypatch.setattr("trainables.permutations.search.STORED_EVERY", 0.0)
    path, settings = tmp_path / "search", {"evaluations": 500, "runs": 2, "keep": 3, "samples": 5}
    whole = minimise_order(tardiness, 6, **settings)

    def interrupt(update, best):
        if update == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        minimise_order(tardiness, 6, callback=interrupt, resume=path, **settings)
    found = minimise_order(tardiness, 6, resume=path, **settings)
    assert torch.equal(found.theta, whole.theta)
    assert torch.equal(found.orders, whole.orders)
    assert (found.cost, found.evaluations, len(found.history)) == (whole.cost, whole.evaluations, len(whole.history))
    longer = minimise_order(tardiness, 6, resume=path, **{**settings, "evaluations": 700})
    assert len(longer.history) > len(found.history)
    assert longer.cost <= found.cost
    with pytest.raises(SpecError, match="was made with seed = 0, found 1"):
        minimise_order(tardiness, 6, resume=path, seed=1, **settings)
    path.write_text("no search")
    with pytest.raises(SpecError, match="holds no search that can be continued"):
        minimise_order(tardiness, 6, resume=path, **settings)


def test_a_random_function_is_told_and_repeats_are_its_mean(capsys):
    noise = torch.Generator().manual_seed(0)

    def noisy(orders):
        return tardiness(orders) + torch.randn(len(orders), generator=noise)

    with pytest.raises(SpecError, match=r"it is random\. Pass repeats=10"):
        minimise_order(noisy, 6, evaluations=400)
    found = minimise_order(noisy, 6, evaluations=400, repeats=30, progress=True)
    assert abs(found.cost - float(tardiness(found.order[None]))) < 1.5
    assert "of 400 evaluations, lowest cost" in capsys.readouterr().err
