"""Plackett-Luce and the matching model against enumeration, autograd and the slow obvious versions."""

import itertools
import math

import pytest
import torch

from raybayes.errors import SpecError
from trainables.permutations.distributions.matching import Matching, Trace, race, trace_of_tuple
from trainables.permutations.distributions.plackett_luce import PlackettLuce, all_orderings, permutation, uniform

F64 = torch.float64


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def slow_log_prob(logits, order):
    """Place by place, in Python numbers."""
    left, total = list(range(len(logits))), 0.0
    for item in order:
        top = max(float(logits[i]) for i in left)
        total += float(logits[item]) - top - math.log(sum(math.exp(float(logits[i]) - top) for i in left))
        left.remove(int(item))
    return total


@pytest.mark.parametrize("logits", [torch.zeros(4), torch.linspace(1, -1, 5), torch.tensor([30.0, -20.0, 5.0])])
def test_log_prob_is_the_slow_one_and_sums_to_one(logits):
    p = PlackettLuce(logits.to(F64), validate_args=True)
    orders = p.enumerate_support()
    values = p.log_prob(orders)
    assert values.tolist() == pytest.approx([slow_log_prob(logits, order) for order in orders], abs=1e-10)
    assert float(values.exp().sum()) == pytest.approx(1, abs=1e-12)


def test_top_k_probability_is_the_sum_over_completions():
    p = PlackettLuce(torch.tensor([0.5, -1.0, 2.0, 0.0], dtype=F64))
    orders = p.enumerate_support()
    for k in (1, 2, 3, 4):
        for prefix in itertools.permutations(range(4), k):
            begins = (orders[:, :k] == torch.tensor(prefix)).all(-1)
            expected = p.log_prob(orders[begins]).exp().sum()
            assert p.log_prob_top_k(torch.tensor(prefix)).exp() == pytest.approx(float(expected), abs=1e-12)


def test_score_is_the_gradient_and_sums_to_zero():
    logits = torch.randn(3, 1, 6, dtype=F64, generator=generator(), requires_grad=True)
    orders = torch.rand(3, 10, 6, generator=generator(1)).argsort(-1)
    p = PlackettLuce(logits)
    found = p.score(orders)
    for r, s in itertools.product(range(3), range(10)):
        expected = torch.autograd.grad(PlackettLuce(logits[r, 0]).log_prob(orders[r, s]), logits)[0][r, 0]
        assert torch.allclose(found[r, s], expected, atol=1e-13)
    assert found.sum(-1).abs().max() < 1e-13
    assert not found.requires_grad


def test_everything_is_finite_at_logits_of_ten_thousand():
    logits = torch.tensor([1e4, -1e4, 0.0, 1e4], dtype=F64)
    p = PlackettLuce(logits)
    orders = p.enumerate_support()
    assert torch.isfinite(p.log_prob(orders)).all()
    assert torch.isfinite(p.score(orders)).all()
    assert p.log_prob(orders).exp().sum() == pytest.approx(1)
    posterior = p.posterior(orders, generator=generator())
    assert (posterior.z.argsort(-1, descending=True) == orders).all()
    assert torch.isfinite(posterior.vjp(torch.randn(24, 4, dtype=F64, generator=generator()))).all()


def test_samples_have_the_enumerated_frequencies():
    p = PlackettLuce(torch.tensor([1.0, 0.0, -0.5], dtype=F64))
    draws = p.sample((40_000,), generator=generator())
    for order in p.enumerate_support():
        share = (draws == order).all(-1).double().mean()
        expected = float(p.log_prob(order).exp())
        assert abs(share - expected) < 5 * math.sqrt(expected * (1 - expected) / 40_000)


def test_top_k_samples_have_the_prefix_probabilities():
    p = PlackettLuce(torch.tensor([1.0, 0.0, -0.5, 0.2], dtype=F64))
    draws = p.sample_top_k(2, (40_000,), generator=generator())
    for prefix in itertools.permutations(range(4), 2):
        share = (draws == torch.tensor(prefix)).all(-1).double().mean()
        expected = float(p.log_prob_top_k(torch.tensor(prefix)).exp())
        assert abs(share - expected) < 5 * math.sqrt(expected * (1 - expected) / 40_000)
    with pytest.raises(SpecError, match=r"k = 5; a prefix has 1 to 4 places"):
        p.sample_top_k(5)


def test_batches_and_validation_follow_torch_distributions():
    p = PlackettLuce(torch.zeros(3, 5), validate_args=True)
    assert (p.batch_shape, p.event_shape) == ((3,), (5,))
    assert p.sample((7,), generator=generator()).shape == (7, 3, 5)
    assert p.expand((2, 3)).batch_shape == (2, 3)
    assert p.enumerate_support().shape == (120, 3, 5)
    assert p.support.check(torch.tensor([[0, 1, 2, 3, 4], [0, 0, 2, 3, 4]])).tolist() == [True, False]
    with pytest.raises(ValueError, match="support"):
        p.log_prob(torch.zeros(3, 5, dtype=torch.long))


def test_sampling_leaves_the_global_generator_alone():
    before = torch.random.get_rng_state()
    PlackettLuce(torch.zeros(4)).sample((3,), generator=generator())
    assert torch.equal(before, torch.random.get_rng_state())


def test_the_mode_at_ties_is_no_gift():
    p = PlackettLuce(torch.zeros(2000, 4))
    assert (p.mode == torch.arange(4)).all()
    first = p.mode_at_random(generator())[:, 0].bincount(minlength=4)
    assert (first > 400).all()
    clear = PlackettLuce(torch.tensor([0.0, 3.0, 1.0]))
    assert clear.mode_at_random(generator()).tolist() == clear.mode.tolist() == [1, 2, 0]


@pytest.mark.parametrize("n", [0, 1])
def test_fewer_than_two_items(n):
    with pytest.raises(SpecError, match="n >= 2"):
        PlackettLuce(torch.zeros(n))
    with pytest.raises(SpecError, match="n >= 2"):
        Matching(torch.zeros(n, n))


def test_logits_that_are_not_finite():
    with pytest.raises(SpecError, match="not finite"):
        PlackettLuce(torch.tensor([0.0, math.nan]))
    with pytest.raises(SpecError, match="not finite"):
        Matching(torch.full((2, 2), math.inf))
    with pytest.raises(SpecError, match="n >= 2 places by n items"):
        Matching(torch.zeros(2, 3))


def test_ten_items_are_not_enumerated():
    with pytest.raises(SpecError, match="3,628,800 orderings"):
        all_orderings(10)


class TestPosterior:
    """Gumbels given the ordering."""

    def test_they_keep_the_ordering(self):
        logits = torch.randn(50, 6, dtype=F64, generator=generator())
        p = PlackettLuce(logits)
        orders = p.sample((), generator=generator(1))
        assert (p.posterior(orders, generator=generator(2)).z.argsort(-1, descending=True) == orders).all()

    def test_they_are_gumbels_when_the_ordering_is_drawn(self):
        logits = torch.tensor([1.0, 0.0, -1.0], dtype=F64)
        p = PlackettLuce(logits)
        orders = p.sample((40_000,), generator=generator(1))
        noise = p.posterior(orders, generator=generator(2)).z - logits
        error = math.pi / math.sqrt(6 * 40_000)
        assert (noise.mean(0) - 0.5772156649).abs().max() < 5 * error
        assert (noise.var(0) - math.pi**2 / 6).abs().max() < 0.1
        assert torch.corrcoef(noise.T).fill_diagonal_(0).abs().max() < 0.025  # independent again
        below = torch.exp(-torch.exp(-noise)).sort(0).values  # distribution function: uniform
        steps = torch.arange(1, 40_001, dtype=F64).unsqueeze(-1) / 40_000
        assert (below - steps).abs().max() < 1.95 / math.sqrt(40_000)  # Kolmogorov-Smirnov at 0.1 %

    def test_the_closed_form_is_autograd_and_the_rows_sum_to_one(self):
        logits = torch.randn(5, dtype=F64, generator=generator(), requires_grad=True)
        order = torch.tensor([3, 1, 4, 0, 2])
        v = uniform((5,), logits, generator(3))
        jacobian = torch.autograd.functional.jacobian(lambda x: PlackettLuce(x).posterior(order, v).z, logits)
        posterior = PlackettLuce(logits.detach()).posterior(order, v)
        found = torch.stack([posterior.vjp(row) for row in torch.eye(5, dtype=F64)])
        assert torch.allclose(torch.stack([posterior.jvp(row) for row in torch.eye(5, dtype=F64)], 1), found)
        assert torch.allclose(found, jacobian, atol=1e-13)
        assert torch.allclose(jacobian.sum(-1), torch.ones(5, dtype=F64))
        assert jacobian.min() >= 0


def slow_trace_log_prob(logits, trace):
    left = set(itertools.product(range(len(logits)), repeat=2))
    total = 0.0
    for pair in trace:
        total += float(logits[pair]) - math.log(sum(math.exp(float(logits[p])) for p in left))
        left = {p for p in left if p[0] != pair[0] and p[1] != pair[1]}
    return total


def all_traces(n):
    return [
        list(zip(rows, columns, strict=True))
        for rows in itertools.permutations(range(n))
        for columns in itertools.permutations(range(n))
    ]


def as_traces(traces):
    pairs = torch.tensor(traces)
    return trace_of_tuple(pairs[..., 0], pairs[..., 1])


class TestMatching:
    """One logit for each (place, item) pair."""

    def test_traces_have_the_slow_probability_and_sum_to_one(self):
        logits = torch.randn(3, 3, dtype=F64, generator=generator())
        traces = all_traces(3)
        found = Matching(logits).log_prob(as_traces(traces))
        assert found.tolist() == pytest.approx([slow_trace_log_prob(logits, trace) for trace in traces], abs=1e-12)
        assert float(found.exp().sum()) == pytest.approx(1)

    def test_score_is_the_gradient(self):
        logits = torch.randn(4, 4, dtype=F64, generator=generator(), requires_grad=True)
        traces = Matching(logits.detach()).sample((6,), generator(1))
        found = Matching(logits).score(traces)
        for s in range(6):
            one = Trace(traces.pairs[s], traces.order[s])
            expected = torch.autograd.grad(Matching(logits).log_prob(one), logits)[0]
            assert torch.allclose(found[s], expected, atol=1e-13)

    def test_samples_have_the_enumerated_frequencies(self):
        logits = torch.tensor([[1.0, 0.0], [-1.0, 0.5]], dtype=F64)
        draws = Matching(logits).sample((40_000,), generator())
        traces = as_traces(all_traces(2))
        expected = Matching(logits).log_prob(traces).exp()
        for pairs, probability in zip(traces.pairs, expected, strict=True):
            share = (draws.pairs == pairs).all(-1).double().mean()
            assert abs(share - probability) < 5 * math.sqrt(float(probability) / 40_000)

    def test_orders_are_permutations(self):
        draws = Matching(torch.zeros(7, 7)).sample((20,), generator())
        assert permutation.check(draws.order).all()

    def test_posterior_repeats_the_race(self):
        logits = torch.randn(30, 5, 5, dtype=F64, generator=generator())
        model = Matching(logits)
        trace = model.sample((), generator(1))
        z = model.posterior(trace, uniform((30, 5), logits, generator(2)), uniform((30, 5, 5), logits, generator(3))).z
        assert (race(z).pairs == trace.pairs).all()

    def test_posterior_is_gumbel_when_the_trace_is_drawn(self):
        logits = torch.tensor([[1.0, 0.0, -0.5], [-1.0, 0.5, 0.0], [0.2, 0.0, 0.0]], dtype=F64)
        model = Matching(logits)
        trace = model.sample((40_000,), generator())
        v, rest = uniform((40_000, 3), logits, generator(2)), uniform((40_000, 3, 3), logits, generator(3))
        noise = (model.posterior(trace, v, rest).z - logits).flatten(1)
        assert (noise.mean(0) - 0.5772156649).abs().max() < 5 * math.pi / math.sqrt(6 * 40_000)
        assert (noise.var(0) - math.pi**2 / 6).abs().max() < 0.1
        assert torch.corrcoef(noise.T).fill_diagonal_(0).abs().max() < 0.025

    def test_the_closed_form_is_autograd(self):
        logits = torch.randn(3, 3, dtype=F64, generator=generator(), requires_grad=True)
        trace = Matching(logits.detach()).sample((), generator(1))
        v, rest = uniform((3,), logits, generator(2)), uniform((3, 3), logits, generator(3))
        jacobian = torch.autograd.functional.jacobian(
            lambda x: Matching(x).posterior(trace, v, rest).z.flatten(), logits
        ).flatten(1)
        posterior = Matching(logits.detach()).posterior(trace, v, rest)
        rows = torch.eye(9, dtype=F64).view(9, 3, 3)
        found = torch.stack([posterior.vjp(row).flatten() for row in rows])
        assert torch.allclose(torch.stack([posterior.jvp(row).flatten() for row in rows], 1), found)
        assert torch.allclose(found, jacobian, atol=1e-13)
        assert torch.allclose(jacobian.sum(-1), torch.ones(9, dtype=F64))
        assert jacobian.min() >= 0


def test_items_with_equal_noise_take_the_order_of_their_numbers():
    class Tied(PlackettLuce):
        def perturbed(self, sample_shape=(), generator=None):
            return torch.tensor([0.0, 1.0, 0.0, 1.0] * 50, dtype=torch.float32)

    tied = Tied(torch.zeros(200))
    wanted = [*range(1, 200, 2), *range(0, 200, 2)]
    assert tied.sample().tolist() == wanted
    assert tied.sample_top_k(150).tolist() == wanted[:150]
