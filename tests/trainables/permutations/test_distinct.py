"""Orders drawn without replacement and the unordered-set estimator, beside enumeration; the cross-entropy step."""

import itertools
import math
from collections import Counter

import pytest
import torch

from raybayes.errors import SpecError
from trainables.permutations import minimise_order
from trainables.permutations.config import Config
from trainables.permutations.costs import Recorder
from trainables.permutations.distributions.distinct import draw_distinct, left_out_ratios
from trainables.permutations.distributions.models import PlackettLuceModel
from trainables.permutations.distributions.plackett_luce import all_orderings, log_prob, score
from trainables.permutations.estimators.distinct import UnorderedSet
from trainables.permutations.estimators.elite import CrossEntropy

F64 = torch.float64
THETAS = [[0.0, 0.0, 0.0], [0.7, -0.3, 0.1], [6.0, -5.0, 4.0]]


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def set_probability(p, chosen):
    """The probability that the first draws without replacement are this set, in any order."""
    total = 0.0
    for line in itertools.permutations(chosen):
        product, left = 1.0, 1.0
        for one in line:
            product, left = product * p[one] / left, left - p[one]
        total += product
    return total


@pytest.mark.parametrize("theta", THETAS)
@pytest.mark.parametrize("k", [2, 3, 4])
def test_the_estimator_is_unbiased_by_enumeration_of_all_sets(theta, k, monkeypatch):
    theta, orders = torch.tensor(theta, dtype=F64), all_orderings(3)
    costs = torch.tensor([3.0, -1.0, 0.5, 2.0, 7.0, 1.5], dtype=F64)
    log_p = log_prob(theta, orders)
    exact = (log_p.exp() * costs).unsqueeze(-1).mul(score(theta, orders)).sum(0)
    mean, expected, whole = torch.zeros(3, dtype=F64), 0.0, 0.0

    class Cost:
        n = 3

        def __call__(self, order):
            return costs[(order.unsqueeze(-2) == orders).all(-1).long().argmax(-1)]

    for chosen in map(list, itertools.combinations(range(6), k)):
        monkeypatch.setattr("trainables.permutations.estimators.distinct.draw_distinct",
                            lambda *_, at=chosen: (orders[at][None, None], log_p[at][None, None]))  # fmt: skip
        estimate = UnorderedSet(False).estimate(theta[None], Recorder(Cost(), 1, F64, theta.device), k, generator())
        probability = set_probability(log_p.exp().tolist(), chosen)
        mean += probability * estimate.gradient.mean(1)[0]
        expected += probability * float(estimate.expected)
        whole += probability
    assert whole == pytest.approx(1)
    assert torch.allclose(mean, exact, atol=1e-7)
    assert expected == pytest.approx(float((log_p.exp() * costs).sum()), abs=1e-7)


def test_ratios_are_those_of_enumeration():
    log_p = torch.tensor([0.3, 0.2, 0.1, 0.25, 0.05, 0.1], dtype=F64).log()
    p, chosen = log_p.exp().tolist(), [0, 2, 3]
    first, second = left_out_ratios(log_p[chosen])
    for i, s in enumerate(chosen):
        less = [q / (1 - p[s]) for q in p]
        alone = set_probability(less, [t for t in chosen if t != s])
        assert float(first[i]) == pytest.approx(alone / set_probability(p, chosen), rel=1e-9)
        for j, t in enumerate(chosen):
            if t != s:
                least = [q / (1 - p[s] - p[t]) for q in p]
                pair = set_probability(least, [u for u in chosen if u not in (s, t)])
                assert float(second[i, j]) == pytest.approx(pair / alone, rel=1e-9)


def test_draws_are_different_and_as_frequent_as_theory_says():
    theta = torch.tensor([0.7, -0.3, 0.1], dtype=F64)
    orders, drawn = draw_distinct(theta.expand(20_000, 3), 2, generator())
    assert torch.allclose(drawn, log_prob(theta, orders))
    p = {
        tuple(o): q
        for o, q in zip(all_orderings(3).tolist(), log_prob(theta, all_orderings(3)).exp().tolist(), strict=True)
    }
    counts = Counter(tuple(map(tuple, pair)) for pair in orders.tolist())
    assert len(counts) == 30
    for (one, two), count in counts.items():
        expected = p[one] * p[two] / (1 - p[one])
        assert abs(count / 20_000 - expected) < 4.5 * math.sqrt(expected / 20_000)
    everything, _ = draw_distinct(torch.zeros(1, 4, dtype=F64), 24, generator())
    assert len({*map(tuple, everything[0].tolist())}) == 24
    with pytest.raises(SpecError, match="3 items have 6 different orders"):
        draw_distinct(theta[None], 7, generator())


def test_large_sets_and_sharp_distributions_stay_finite():
    for scale in (0.0, 1.0, 30.0):
        theta = scale * torch.randn(4, 12, dtype=F64, generator=generator())
        _, log_p = draw_distinct(theta, 64, generator())
        first, second = left_out_ratios(log_p)
        assert torch.isfinite(first).all()
        assert torch.isfinite(second).all()
        mean = (log_p.exp() * first).sum(-1)  # estimates 1
        assert (mean > 0).all()


def test_the_cross_entropy_step_is_the_elites_mean_score_and_finds_orders():
    class Cost:
        n = 5

        def __call__(self, order):
            return (order * torch.arange(5)).sum(-1).double()

    theta = torch.randn(2, 5, dtype=F64, generator=generator(1))
    recorder = Recorder(Cost(), 2, F64, theta.device)
    found = CrossEntropy(PlackettLuceModel(), 0.25).estimate(theta, recorder, 8, generator())
    for row in range(2):
        scores = score(theta[row], found.order[row])
        elite = found.values[row].argsort()[:2]
        wanted = scores.mean(0) - scores[elite].mean(0)
        tied = found.values[row].sort().values[1] == found.values[row].sort().values[2]
        assert tied or torch.allclose(found.gradient[row].mean(0), wanted)
    for estimator in ("cross_entropy", "unordered"):
        best = minimise_order(Cost().__call__, 5, evaluations=110, runs=1, estimator=estimator, samples=10, descent=0.0)
        assert best.cost <= 12
    assert Config(estimator="cross_entropy", samples=4).updates == 12_500


@pytest.mark.parametrize("name", ["unordered", "cross_entropy"])
def test_they_need_two_samples(name):
    with pytest.raises(ValueError, match="compares the samples of an update and needs samples >= 2"):
        Config(estimator=name, samples=1)
    with pytest.raises(ValueError, match="2 items have 2"):
        Config(estimator="unordered", samples=4, toy={"n": 2})
