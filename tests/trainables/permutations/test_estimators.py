"""Unbiasedness by enumeration; closed-form inner gradients against double backward; the variance that theory gives."""

import math

import pytest
import torch

from raybayes.errors import SpecError, TrialError
from trainables.permutations.adam import Adam
from trainables.permutations.config import Config
from trainables.permutations.costs import Recorder
from trainables.permutations.distributions.models import MatchingModel, PlackettLuceModel, SinkhornModel
from trainables.permutations.distributions.plackett_luce import all_orderings, log_prob
from trainables.permutations.distributions.relaxations import RELAXATIONS, permutation_matrix, sinkhorn
from trainables.permutations.estimators import ControlVariate, Exact, Relaxation, RunningBaseline, Sinkhorn
from trainables.permutations.estimators.build import build_estimator, build_model
from trainables.permutations.estimators.critic import Critic
from trainables.permutations.optimiser import OrderOptimiser
from trainables.permutations.tasks.problem import Free
from trainables.permutations.tasks.toy import ToyCost

F64 = torch.float64
THETAS = {
    "zero": torch.zeros(4, dtype=F64),
    "moderate": torch.tensor([0.7, -0.3, 0.1, -0.9], dtype=F64),
    "extreme": torch.tensor([6.0, -5.0, 5.0, 4.0], dtype=F64),
}
UNBIASED = {
    "reinforce": {},
    "reinforce_ema": {},
    "reinforce_best": {},
    "rloo": {"samples": 3},
    "t_reinforce": {},
    "t_reinforce_plus": {"samples": 2},
    "e_reinforce": {},
    "e_reinforce_ema": {},
    "e_reinforce_plus": {"samples": 3},
    "unordered": {"samples": 3},
    "rebar": {"critic.tau": 0.5, "critic.eta": 2.5},
    "rebar_centred": {},
    "relax": {},
    "relax softsort": {"critic.relaxation": "softsort"},
    "relax tanh, two layers": {"critic.activation": "tanh", "critic.depth": 2},
    "relax black box": {"critic.of": "black_box"},
    "relax_centred": {"critic.eta": 0.6},
    "relax_centred loo": {"critic.centring": "loo", "samples": 3},
}


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def configured(name, **values):
    flat = {**UNBIASED.get(name, {}), **values}
    nested = {"estimator": name.split(" ")[0].rstrip(",")}
    for key, value in flat.items():
        group, _, leaf = key.rpartition(".")
        if group:
            nested.setdefault(group, {})[leaf] = value
        else:
            nested[key] = value
    return Config(**nested)


class Uneven:
    """A cost without symmetry, and an extension to soft matrices that is not linear."""

    def __init__(self, n=4, seed=3):
        self.n = n
        self.pairs = torch.randn(n, n, dtype=F64, generator=generator(seed))
        self.target = torch.rand(n, n, dtype=F64, generator=generator(seed + 1))

    def __call__(self, order):
        return self.relaxed(permutation_matrix(order, F64))[0]

    def relaxed(self, matrix):
        distance = matrix - self.target
        return 2 + distance.square().sum((-1, -2)) + (matrix * self.pairs).sum((-1, -2)), 2 * distance + self.pairs

    def bend(self, matrix, direction):
        return 2 * direction


def exact_gradient(theta, cost):
    """By autograd over the enumerated expectation."""
    leaf = theta.clone().requires_grad_()
    orders = all_orderings(len(theta))
    mean = (log_prob(leaf, orders).exp() * cost(orders.unsqueeze(0))[0]).sum()
    return torch.autograd.grad(mean, leaf)[0]


def prepared(name, theta, cost, runs=1):
    config = configured(name)
    model = build_model(config)
    like = torch.zeros(runs, 1, dtype=F64)
    estimator = build_estimator(config, model, cost.n, like, generator(7))
    recorder = Recorder(cost, runs, F64, like.device)
    estimator.observe(torch.tensor([[3.0, 9.0, 4.0]] * runs, dtype=F64))  # baselines that have seen something
    return config, estimator, recorder


class TestUnbiasedness:
    """The mean of many estimates against the enumerated gradient: no component is off by more than chance allows."""

    @pytest.mark.parametrize("at", THETAS)
    @pytest.mark.parametrize("name", UNBIASED)
    def test_mean_is_the_exact_gradient(self, name, at):
        cost, theta = Uneven(), THETAS[at]
        config, estimator, recorder = prepared(name, theta, cost)
        n, groups = config.samples, 30_000
        with torch.no_grad():
            found = estimator.estimate(theta.unsqueeze(0), recorder, n, generator(11), groups=groups, look=True)
        estimates = found.gradient[0].unflatten(0, (groups, n)).mean(1)
        error = estimates.std(0) / math.sqrt(groups)
        z = (estimates.mean(0) - exact_gradient(theta, cost)) / error.clamp_min(1e-12)
        assert z.abs().max() < 4.5

    def test_a_wrong_posterior_is_caught(self, monkeypatch):
        """The test has the power to see the known mistakes: the path through z~ left out, or v drawn with the order."""
        from trainables.permutations.distributions import models

        cost, theta = Uneven(), THETAS["moderate"]
        monkeypatch.setattr(models._PlackettLucePosterior, "vjp", lambda self, w: torch.zeros_like(w))
        _, estimator, recorder = prepared("rebar", theta, cost)
        with torch.no_grad():
            found = estimator.estimate(theta.unsqueeze(0), recorder, 1, generator(11), groups=60_000, look=True)
        z = (found.gradient[0].mean(0) - exact_gradient(theta, cost)) / (found.gradient[0].std(0) / math.sqrt(60_000))
        assert z.abs().max() > 6

    @pytest.mark.parametrize("name", ["reinforce", "rloo", "e_reinforce_plus", "relax"])
    def test_matching_mean_is_the_exact_gradient(self, name):
        """Enumeration of all traces: the orders of arrival of each matching."""
        import itertools

        from trainables.permutations.distributions.matching import Matching, trace_of_tuple

        n, cost = 3, Uneven(3)
        theta = torch.randn(n, n, dtype=F64, generator=generator(1))
        rows = torch.tensor(list(itertools.permutations(range(n)))).repeat_interleave(6, 0)
        columns = torch.tensor(list(itertools.permutations(range(n)))).repeat(6, 1)
        traces = trace_of_tuple(rows, columns)
        leaf = theta.clone().requires_grad_()
        mean = (Matching(leaf).log_prob(traces).exp() * cost(traces.order.unsqueeze(0))[0]).sum()
        exact = torch.autograd.grad(mean, leaf)[0]
        extra = {"critic": {"of": "black_box"}} if name == "relax" else {}
        config = Config(estimator=name, model="matching", samples=3, **extra)
        estimator = build_estimator(config, MatchingModel(), n, torch.zeros(1, 1, dtype=F64), generator(7))
        recorder = Recorder(cost, 1, F64, torch.device("cpu"))
        with torch.no_grad():
            found = estimator.estimate(theta.unsqueeze(0), recorder, 3, generator(11), groups=20_000, look=True)
        estimates = found.gradient[0].unflatten(0, (20_000, 3)).mean(1)
        z = (estimates.mean(0) - exact) / (estimates.std(0) / math.sqrt(20_000))
        assert z.abs().max() < 4.5

    def test_exact_is_exact(self):
        cost, recorder = Uneven(), Recorder(Uneven(), 2, F64, torch.device("cpu"))
        theta = torch.stack([THETAS["zero"], THETAS["moderate"]])
        mean, gradient = Exact(4, theta.device).expectation(theta, recorder)
        assert torch.allclose(gradient, torch.stack([exact_gradient(row, cost) for row in theta]), atol=1e-12)
        orders = all_orderings(4)
        assert mean[0] == pytest.approx(float(cost(orders.unsqueeze(0)).mean()))
        assert recorder.evaluations == 24
        first, resumed = Exact(4, theta.device), Exact(4, theta.device)
        first.expectation(theta, recorder)
        resumed.load(first.state())
        again, _ = resumed.expectation(theta, recorder)
        assert torch.equal(again, mean)
        assert recorder.evaluations == 48


class TestComponents:
    """Facts about single estimates."""

    @pytest.mark.parametrize("name", ["reinforce", "rloo", "rebar", "relax", "relax_centred"])
    def test_components_sum_to_zero(self, name):
        config, estimator, recorder = prepared(name, None, Uneven())
        found = estimator.estimate(THETAS["extreme"].unsqueeze(0), recorder, config.samples, generator(), groups=50)
        assert found.gradient.sum(-1).abs().max() < 1e-10

    def test_the_trace_score_is_the_mean_of_the_noise_score(self):
        """E[e | b] = s(b), hence T-REINFORCE never varies more than E-REINFORCE."""
        model = PlackettLuceModel()
        theta = torch.tensor([[0.5, -0.2, 0.0]], dtype=F64)
        draw = model.draw(theta, 200_000, generator())
        for order in all_orderings(3):
            rows = (draw.order[0] == order).all(-1)
            noise = draw.noise_score()[0, rows]
            error = noise.std(0) / math.sqrt(len(noise))
            assert ((noise.mean(0) - draw.score()[0, rows][0]) / error).abs().max() < 4.5

    @pytest.mark.parametrize(("k", "expected"), [(2, 0.06899), (3, 0.03426), (10, 0.00754)])
    def test_leave_one_out_has_the_exact_variance(self, k, expected):
        """Trace of the covariance on the paper's toy at theta = 0, known by enumeration."""
        cost = ToyCost(8, 0.05, torch.zeros(1, dtype=F64))
        config = Config(estimator="rloo", samples=k)
        like = torch.zeros(1, 8, dtype=F64)
        estimator = build_estimator(config, PlackettLuceModel(), 8, like, generator())
        recorder = Recorder(cost, 1, F64, like.device)
        found = estimator.estimate(like, recorder, k, generator(), groups=20_000)
        variance = found.gradient[0].unflatten(0, (20_000, k)).mean(1).var(0).sum()
        assert float(variance) == pytest.approx(expected, rel=0.05)

    def test_reinforce_has_the_exact_variance(self):
        cost = ToyCost(8, 0.05, torch.zeros(1, dtype=F64))
        like = torch.zeros(1, 8, dtype=F64)
        estimator = build_estimator(Config(estimator="reinforce"), PlackettLuceModel(), 8, like, generator())
        found = estimator.estimate(like, Recorder(cost, 1, F64, like.device), 1, generator(), groups=20_000)
        assert float(found.gradient[0].var(0).sum()) == pytest.approx(260.586, rel=0.03)


class TestClosedForms:
    """No double backward anywhere, and yet its numbers."""

    @pytest.mark.parametrize("name", RELAXATIONS)
    def test_pull_is_the_vector_jacobian_product(self, name):
        z = torch.randn(2, 3, 6, dtype=F64, generator=generator(), requires_grad=True)
        relaxed = RELAXATIONS[name](z, torch.tensor(0.7, dtype=F64))
        weights = torch.randn(2, 3, 6, 6, dtype=F64, generator=generator(1))
        expected = torch.autograd.grad((relaxed.matrix * weights).sum(), z)[0]
        assert torch.allclose(relaxed.pull(weights), expected, atol=1e-13)

    @pytest.mark.parametrize("name", RELAXATIONS)
    def test_relaxations_tend_to_the_permutation(self, name):
        z = torch.randn(5, 6, dtype=F64, generator=generator())
        soft = RELAXATIONS[name](z, torch.tensor(1e-4, dtype=F64)).matrix
        assert torch.allclose(soft, permutation_matrix(z.argsort(-1, descending=True), F64), atol=1e-6)
        assert torch.allclose(RELAXATIONS[name](z, torch.tensor(2.0)).matrix.sum(-1), torch.ones(5, 6, dtype=F64))

    def test_neuralsort_is_its_formula(self):
        z, tau, n = [0.3, -1.2, 0.8], 0.5, 3
        rows = []
        for i in range(1, n + 1):
            entries = [math.exp(((n + 1 - 2 * i) * zj - sum(abs(zj - zk) for zk in z)) / tau) for zj in z]
            rows.append([entry / sum(entries) for entry in entries])
        found = RELAXATIONS["neuralsort"](torch.tensor(z, dtype=F64), torch.tensor(tau, dtype=F64)).matrix
        assert torch.allclose(found, torch.tensor(rows, dtype=F64), atol=1e-14)

    def test_sinkhorn_is_doubly_stochastic(self):
        matrix = sinkhorn(torch.randn(3, 5, 5, dtype=F64, generator=generator()), 200).exp()
        assert torch.allclose(matrix.sum(-1), torch.ones(3, 5, dtype=F64), atol=1e-8)
        assert torch.allclose(matrix.sum(-2), torch.ones(3, 5, dtype=F64))

    @pytest.mark.parametrize("activation", ["relu", "tanh"])
    @pytest.mark.parametrize("depth", [1, 2])
    def test_critic_gradient_is_autograds(self, activation, depth):
        like = torch.zeros(2, 1, dtype=F64)
        critic = Critic(2, 5, 16, depth, activation, like, generator())
        x = torch.randn(2, 3, 5, dtype=F64, generator=generator(1), requires_grad=True)
        value, slope = critic(x)
        expected = torch.autograd.grad(value.sum(), x, create_graph=True)[0]
        assert torch.allclose(slope, expected, atol=1e-14)
        for parameter in critic.parameters():
            parameter.requires_grad_()
        weight = torch.randn(2, 3, dtype=F64, generator=generator(2))
        direction = torch.randn(2, 3, 5, dtype=F64, generator=generator(3))
        value, _ = critic(x)
        slow = torch.autograd.grad(value.sum(), x, create_graph=True)[0]
        total = (weight * value).sum() + (direction * slow).sum()
        theirs = torch.autograd.grad(total, critic.parameters())
        for one, other in zip(critic.sensitivity(x, weight, direction), theirs, strict=True):
            assert torch.allclose(one, other, atol=1e-12)

    @pytest.mark.parametrize(
        "name", ["rebar", "rebar_centred", "relax", "relax softsort", "relax tanh, two layers", "relax black box"]
    )
    def test_estimate_and_its_variance_gradient_are_those_of_double_backward(self, name):
        """The slow version: autograd through z and z~ with create_graph, per sample, exactly as the formula says."""
        cost, theta = Uneven(), THETAS["moderate"].unsqueeze(0)
        config, estimator, recorder = prepared(name, theta, cost)
        with torch.no_grad():
            found = estimator.estimate(theta, recorder, 3, generator(5))
        for parameter in estimator.parameters():
            parameter.requires_grad_()
        relaxation = config.critic.relaxation if config.critic.of == "relaxed" else None
        slow = slow_estimate(estimator, relaxation, theta, cost, 3, generator(5))
        assert torch.allclose(found.gradient, slow, atol=1e-12)
        theirs = torch.autograd.grad(slow.square().sum(), estimator.parameters())
        for one, other in zip(found.tune(2 * found.gradient), theirs, strict=True):
            assert torch.allclose(one, other, atol=1e-10)


def slow_estimate(estimator: ControlVariate, relaxation, theta, cost, samples, generator_):
    from trainables.permutations.distributions.plackett_luce import PlackettLuce, gumbel, uniform

    leaf = theta.unsqueeze(1).repeat(1, samples, 1).requires_grad_()
    logits = leaf.log_softmax(-1)
    z = logits + gumbel((1, samples, 4), theta, generator_)
    order = z.detach().argsort(-1, descending=True)
    conditional = PlackettLuce(logits).posterior(order, uniform((1, samples, 4), theta, generator_)).z
    score = torch.autograd.grad(log_prob(logits, order).sum(), leaf, retain_graph=True)[0]

    centre = estimator._centring(cost(order), samples)

    def control(at):
        if relaxation is None:
            return estimator._critic(at)[0]
        soft = RELAXATIONS[relaxation](at, estimator.log_tau.exp()[:, None, None, None]).matrix
        value = estimator.eta[:, None] * (cost.relaxed(soft)[0] - centre)
        return value if estimator._critic is None else value + estimator._critic(at)[0]

    difference = (control(z) - control(conditional)).sum()
    inner = torch.autograd.grad(difference, leaf, create_graph=True)[0]
    bracket = cost(order) - centre - control(conditional.detach())
    return bracket.unsqueeze(-1) * score + inner


class TestLearning:
    """Updates."""

    def test_a_batch_of_runs_is_as_many_runs_alone(self):
        """Noise of a batch is drawn together, so each run is repeated alone with its own slice of it."""
        cost = ToyCost(5, 0.1, torch.zeros(1, dtype=F64))
        config = Config(estimator="relax", runs=3)
        like = torch.zeros(3, 1, dtype=F64)
        together = build_estimator(config, PlackettLuceModel(), 5, like, generator(1))
        alone = [build_estimator(config, PlackettLuceModel(), 5, like[:1], generator(1)) for _ in range(3)]
        for r, one in enumerate(alone):
            with torch.no_grad():
                for mine, theirs in zip(one.parameters(), together.parameters(), strict=True):
                    mine.copy_(theirs[r : r + 1])
        draws = {}

        class Shared(PlackettLuceModel):
            def __init__(self, run):
                self.run = run

            def draw(self, theta, samples, generator):
                full = draws["theta"].clone()
                full[self.run] = theta[0]
                generator.manual_seed(draws["seed"])
                return Slice(PlackettLuceModel().draw(full, samples, generator), self.run, generator)

        class Slice:
            def __init__(self, draw, run, generator):
                self.whole, self.run = draw, run
                self.order, self.z = draw.order[run : run + 1], draw.z[run : run + 1]

            def score(self):
                return self.whole.score()[self.run : self.run + 1]

            def pull(self, weights):
                return self.whole.pull(weights.expand(3, -1, -1))[self.run : self.run + 1]

            def push(self, direction):
                return self.whole.push(direction.expand(3, -1, -1))[self.run : self.run + 1]

            def posterior(self, generator):
                posterior, run = self.whole.posterior(generator), self.run

                class One:
                    z = posterior.z[run : run + 1]

                    def vjp(self, weights):
                        return posterior.vjp(weights.expand(3, -1, -1))[run : run + 1]

                    def jvp(self, direction):
                        return posterior.jvp(direction.expand(3, -1, -1))[run : run + 1]

                return One()

        thetas = torch.zeros(3, 5, dtype=F64)
        optimiser = OrderOptimiser(Free(thetas), together, Recorder(cost, 3, F64, like.device), 1, 0.05)
        singles = []
        for r, one in enumerate(alone):
            one._model = Shared(r)
            recorder = Recorder(cost, 1, F64, like.device)
            singles.append(OrderOptimiser(Free(torch.zeros(1, 5, dtype=F64)), one, recorder, 1, 0.05))
        for step in range(20):
            draws.update(theta=thetas.clone(), seed=step)
            for single in singles:
                single.update(generator(step))
            optimiser.update(generator(step))
        for r, single in enumerate(singles):
            assert torch.allclose(single.policy.theta()[0], thetas[r], atol=1e-10)
            for mine, theirs in zip(single.estimator.parameters(), together.parameters(), strict=True):
                assert torch.allclose(mine[0], theirs[r], atol=1e-10)

    @pytest.mark.parametrize("name", ["rebar", "relax", "relax_centred"])
    def test_training_the_control_variate_lowers_the_variance(self, name):
        cost = ToyCost(8, 0.05, torch.zeros(1, dtype=F64))
        config = Config(estimator=name)
        like = torch.zeros(1, 8, dtype=F64)
        estimator = build_estimator(config, PlackettLuceModel(), 8, like, generator())
        recorder = Recorder(cost, 1, F64, like.device)
        optimiser = OrderOptimiser(Free(like.clone()), estimator, recorder, 16, 0.01, 0.02)

        def variance():
            with torch.no_grad():
                found = estimator.estimate(like, recorder, 1, generator(9), groups=2000, look=True)
            return float(found.gradient[0].var(0).sum())

        before = variance()
        for step in range(250):
            optimiser.train_critic(generator(step))
        assert variance() < before / 4

    def test_adam_is_torchs(self):
        mine = [torch.randn(3, 4, dtype=F64, generator=generator()), torch.randn(5, dtype=F64, generator=generator(1))]
        theirs = [tensor.clone().requires_grad_() for tensor in mine]
        adam, reference = Adam(mine, 0.1), torch.optim.Adam(theirs, lr=0.03, weight_decay=0.1)
        for step in range(10):
            gradients = [torch.randn(p.shape, dtype=F64, generator=generator(step)) for p in mine]
            adam.step(gradients, 0.03)
            for parameter, gradient in zip(theirs, gradients, strict=True):
                parameter.grad = gradient.clone()
            reference.step()
        for one, other in zip(mine, theirs, strict=True):
            assert torch.allclose(one, other, atol=1e-13)


class TestBadInput:
    """One sentence each."""

    def recorder(self, answer):
        class Cost:
            n = 3

            def __call__(self, order):
                return answer(order)

        return Recorder(Cost(), 2, F64, torch.device("cpu"))

    def orders(self):
        return torch.arange(3).expand(2, 5, 3)

    @pytest.mark.parametrize("value", [math.nan, math.inf])
    def test_a_cost_that_is_not_finite(self, value):
        with pytest.raises(TrialError, match=r"the cost of ordering \[0, 1, 2\] is (nan|inf); costs must be finite"):
            self.recorder(lambda order: torch.full(order.shape[:-1], value))(self.orders())

    def test_a_cost_of_the_wrong_shape(self):
        with pytest.raises(SpecError, match=r"returned \(2, 5, 3\); it must return a tensor of shape \(2, 5\)"):
            self.recorder(lambda order: order.double())(self.orders())
        with pytest.raises(SpecError, match="returned float"):
            self.recorder(lambda order: 1.0)(self.orders())

    def test_a_black_box_has_no_relaxation(self):
        with pytest.raises(SpecError, match=r"Cost is a black box .* critic.of = black_box"):
            self.recorder(lambda order: order[..., 0]).relaxed(torch.zeros(2, 5, 3, 3))

    @pytest.mark.parametrize("tau", [0.0, -1.0, math.nan])
    def test_temperatures_are_above_zero(self, tau):
        like = torch.zeros(1, 1, dtype=F64)
        none = RunningBaseline("none", 0.9, 1, like)
        with pytest.raises(SpecError, match="temperature must be above 0"):
            ControlVariate(PlackettLuceModel(), "neuralsort", tau, 1.0, None, none, like)
        with pytest.raises(SpecError, match="temperature must be above 0"):
            Relaxation(PlackettLuceModel(), "softsort", tau, False)
        with pytest.raises(SpecError, match="temperature must be above 0"):
            Sinkhorn(SinkhornModel(10, 1.0), tau)

    def test_leaving_one_out_needs_two(self):
        estimator = build_estimator(
            Config(estimator="rloo", samples=2), PlackettLuceModel(), 4, torch.zeros(1, 4, dtype=F64), generator()
        )
        recorder = Recorder(Uneven(), 1, F64, torch.device("cpu"))
        with pytest.raises(SpecError, match="needs samples >= 2"):
            estimator.estimate(torch.zeros(1, 4, dtype=F64), recorder, 1, generator())
