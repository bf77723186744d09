"""Whole flows against brute force: inverse, marginal, Bayes' rule, densities that integrate to 1, EM, sampling."""

import math

import pytest
import torch
from torch.func import functional_call

from raybayes.errors import DataError
from trainables.flows.config import Config, data_shape, plan, size
from trainables.flows.models.build import build_flow
from trainables.flows.models.flow import Encoded, bits_per_dim, great_circle
from trainables.flows.models.gflops import gflops
from trainables.flows.weights import load


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_decoding_undoes_encoding_at_perturbed_weights(perturbed, flow_name, dtype, tolerance):
    flow, x = perturbed(flow_name, dtype)
    labels = torch.arange(len(x)) % flow.classes
    with torch.no_grad():
        back = flow.decode(*flow.latents(x, labels), labels)
    assert back.isfinite().all()
    assert (back - x).abs().max() <= tolerance


def test_rough_weights_leave_an_inverse_and_no_nan(perturbed, flow_name):
    """Weights moved by N(0, 0.1^2), then set up: exact to 1e-10 in float64, but for the chain of 21 nets' rounding."""
    for dtype in (torch.float64, torch.float32):
        flow, x = perturbed(flow_name, dtype, noise=0.1, before=True)
        labels = torch.arange(len(x)) % flow.classes
        with torch.no_grad():
            back = flow.decode(*flow.latents(x, labels), labels)
            assert flow.log_marginal(x).isfinite().all()
            assert flow.sample(labels, torch.Generator().manual_seed(0)).isfinite().all()
        assert back.isfinite().all()
        if dtype == torch.float64:
            assert (back - x).abs().max() <= (1e-3 if flow_name == "masked glow" else 1e-10)


def test_log_joint_is_the_density_of_the_whole_map(perturbed, flow_name):
    """log N(z) + log|det dz/dx| + log p(y), the determinant from autograd's Jacobian of the whole map."""
    flow, x = perturbed(flow_name)
    labels = torch.arange(len(x)) % flow.classes

    def latent(one, label):
        return torch.cat(flow.latents(one[None], label), 1)[0]

    found = flow.log_joint(x, labels)
    for row in (0,):
        jacobian = torch.autograd.functional.jacobian(lambda one, r=row: latent(one, labels[r : r + 1]), x[row])
        n = x[row].numel()
        z = latent(x[row], labels[row : row + 1])
        expected = torch.linalg.slogdet(jacobian.reshape(n, n)).logabsdet - 0.5 * (
            z.square().sum() + n * math.log(2 * math.pi)
        )
        assert found[row].item() == pytest.approx(
            (expected - math.log(flow.classes)).item(), abs=1e-6
        )  # the prior is float32


def test_the_marginal_is_the_sum_of_full_passes(perturbed, flow_name):
    """Batch and classes differ in number, so a mix-up of the two axes cannot go unseen."""
    flow, x = perturbed(flow_name)
    x = x[: flow.classes + 3]
    each = torch.stack([flow.log_joint(x, torch.full((len(x),), k)) for k in range(flow.classes)], 1)
    torch.testing.assert_close(flow.log_marginal(x), each.exp().sum(1).log(), atol=1e-9, rtol=0)
    torch.testing.assert_close(flow.log_posterior(x).exp(), each.exp() / each.exp().sum(1, keepdim=True))
    rows = [flow.under_classes(flow.encode(x[row : row + 1])) for row in range(len(x))]
    torch.testing.assert_close(torch.cat(rows), each, atol=1e-9, rtol=0, msg="batches of one")


def test_a_prior_that_is_not_uniform_counts(perturbed):
    flow, x = perturbed("toy, class shift")
    even = flow.log_posterior(x).exp()
    prior = torch.tensor([0.7, 0.2, 0.1], dtype=torch.float64)
    flow.log_prior.copy_(prior.log())
    expected = even * prior / (even * prior).sum(1, keepdim=True)
    torch.testing.assert_close(flow.log_posterior(x).exp(), expected)
    drawn = flow.sample(4000, torch.Generator().manual_seed(0))
    assert drawn.shape == (4000, 2)


@pytest.mark.parametrize("chunk", [1, 4])
def test_classes_in_chunks_give_the_same_numbers_and_gradients(perturbed, chunk):
    found = []
    for size_ in (0, chunk):
        flow, x = perturbed("pca", seed=3)
        flow.class_chunk = size_ or flow.classes
        flow.train()
        marginal = flow.log_marginal(x)
        marginal.sum().backward()
        found.append((marginal.detach(), [p.grad for p in flow.parameters()]))
    torch.testing.assert_close(found[0][0], found[1][0], atol=1e-10, rtol=0)
    for whole, part in zip(found[0][1], found[1][1], strict=True):
        torch.testing.assert_close(whole, part)


@pytest.mark.parametrize("name", ["toy", "toy, identity", "toy, dense mixing", "toy, class shift"])
def test_plane_densities_integrate_to_one(perturbed, name):
    """Nothing bounds the support, so the grid must hold nearly all of it."""
    flow, _ = perturbed(name, noise=0.03)
    edges = torch.linspace(-6, 6, 121, dtype=torch.float64)
    middle = (edges[1:] + edges[:-1]) / 2
    grid = torch.cartesian_prod(middle, middle)
    with torch.no_grad():
        total = sum(flow.log_marginal(part).exp().sum().item() for part in grid.split(100_000))
    assert total * (edges[1] - edges[0]).item() ** 2 == pytest.approx(1, abs=5e-3)


def test_the_continuous_flow_integrates_to_one_too():
    config = Config(trunk={"kind": "identity"}, head={"kind": "ode", "width": 8, "blocks": 1})
    flow = build_flow(config, (2,), 2, torch.Generator().manual_seed(0)).eval()
    middle = torch.linspace(-6, 6, 49)
    with torch.no_grad():
        total = flow.log_marginal(torch.cartesian_prod(middle, middle)).exp().sum().item()
    assert total * (12 / 48) ** 2 == pytest.approx(1, abs=5e-3)
    x = torch.randn(9, 2, generator=torch.Generator().manual_seed(0))
    labels = torch.arange(9) % 2
    with torch.no_grad():
        assert (flow.decode(*flow.latents(x, labels), labels) - x).abs().max() < 1e-4


@pytest.mark.parametrize("name", ["pca", "masked glow"])
def test_a_step_of_em_is_the_likelihoods_gradient(perturbed, name):
    """sum_k p(k|x) grad log p(x, k) with p(k|x) held fixed."""
    flow, x = perturbed(name)
    parameters = list(flow.parameters())
    likelihood = torch.autograd.grad(flow.log_marginal(x).mean(), parameters)
    joint = flow.under_classes(flow.encode(x))
    em = torch.autograd.grad((joint.log_softmax(1).exp().detach() * joint).sum(1).mean(), parameters)
    for one, other in zip(likelihood, em, strict=True):
        torch.testing.assert_close(one, other, atol=1e-10, rtol=1e-9)


def test_the_training_terms_are_the_densities(perturbed):
    flow, x = perturbed("pca")
    labels = torch.tensor([3, 9, 0])
    for every in (False, True):
        terms = flow(x[:8], labels, every)
        torch.testing.assert_close(terms.joint, flow.log_joint(x[:3], labels))
        torch.testing.assert_close(terms.unlabelled.logsumexp(1), flow.log_marginal(x[3:8]))
        assert (terms.labelled is None) is not every
    torch.testing.assert_close(terms.labelled, flow.under_classes(flow.encode(x[:3])))


def test_class_batches_equal_rows_one_by_one(perturbed):
    """b for (batch, 1, d) against all classes is b for every pair of a row and a class."""
    flow, x = perturbed("masked glow")
    deep, _, a = flow.encode(x[:5])
    pairs = flow.b(deep.repeat_interleave(flow.classes, 0), torch.arange(flow.classes).repeat(5))
    torch.testing.assert_close(flow.under_classes(Encoded(deep, deep[:, :0], a)) - a[:, None], pairs.view(5, -1))


def test_samples_have_the_densitys_moments(perturbed):
    """A class-shift flow with tame weights: means of samples against means of the density on a grid."""
    flow, _ = perturbed("toy, class shift", noise=0.05)
    labels = torch.full((5000,), 1)
    drawn = flow.sample(labels, torch.Generator().manual_seed(0))
    middle = torch.linspace(-12, 12, 121, dtype=torch.float64)
    grid = torch.cartesian_prod(middle, middle)
    with torch.no_grad():
        weight = (flow.log_joint(grid, torch.ones(len(grid), dtype=torch.long)) + math.log(flow.classes)).exp()
    weight = weight / weight.sum()
    mean = (grid * weight[:, None]).sum(0)
    deviation = ((grid - mean).square() * weight[:, None]).sum(0).sqrt()
    assert ((drawn.mean(0) - mean).abs() < 5 * deviation / math.sqrt(5000) + 1e-2).all()
    torch.testing.assert_close(drawn.std(0), deviation, rtol=0.06, atol=0)


def test_samples_depend_on_the_generator_alone_and_cool_down(perturbed):
    flow, _ = perturbed("masked glow", torch.float32)
    labels = torch.tensor([0, 1, 2])
    first, second = (flow.sample(labels, torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(first, second)
    assert first.shape == (3, 1, 12, 12)
    cold = flow.sample(torch.zeros(50, dtype=torch.long), torch.Generator().manual_seed(5), temperature=0.0)
    assert (cold - cold[0]).abs().max() < 1e-5, "no noise, one picture"


def test_interpolation_begins_and_ends_at_its_examples(perturbed):
    flow, x = perturbed("masked glow")
    labels = torch.tensor([0, 2])
    path = flow.interpolate(x[:2], x[2:4], labels, 5)
    assert path.shape == (2, 5, 1, 12, 12)
    torch.testing.assert_close(path[:, 0], x[:2], atol=1e-8, rtol=0)
    torch.testing.assert_close(path[:, -1], x[2:4], atol=1e-8, rtol=0)


def test_a_great_circle_keeps_the_length():
    one = torch.tensor([[3.0, 0.0], [1.0, 1.0]])
    other = torch.tensor([[0.0, 3.0], [1.0, 1.0]])
    half = great_circle(one, other, 0.5)
    torch.testing.assert_close(half[0], torch.tensor([3 / math.sqrt(2), 3 / math.sqrt(2)]))
    torch.testing.assert_close(half[1], one[1], msg="parallel ends")


def test_bits_per_dim_of_a_uniform_density_are_the_bits_of_a_pixel():
    assert bits_per_dim(torch.zeros(3), 784, True).tolist() == [8.0] * 3
    assert bits_per_dim(torch.tensor(-10 * math.log(2)), 10, False).item() == pytest.approx(1)


@pytest.mark.parametrize(
    ("preset", "million_f", "million_h", "gone", "deep"),
    [
        ("paper", 6.30, 9.58, (392, 196), 196),
        ("medium", 0.82, 2.79, (392, 196), 196),
        ("small", 0.44, 1.73, (392, 196), 196),
        ("cpu", 0.12, 0.97, (392, 196), 196),
        ("cpu-16x16", 0.14, 1.25, (128, 64), 64),
    ],
)
def test_presets_have_the_published_shapes_and_sizes(preset, million_f, million_h, gone, deep):
    config = Config(preset=preset)
    shape = data_shape(config)
    found = plan(config.trunk, shape)
    assert tuple(map(size, found.gone)) == gone
    assert size(found.deep) == deep
    assert size(found.deep) + sum(gone) == size(shape)
    flow = build_flow(config, shape, 10, torch.Generator().manual_seed(0))
    assert sum(p.numel() for p in flow.trunk.parameters()) / 1e6 == pytest.approx(million_f, abs=0.015)
    assert sum(p.numel() for p in flow.head.parameters()) / 1e6 == pytest.approx(million_h, abs=0.015)


def test_operations_are_counted_as_by_hand():
    """One coupling of two plain nets on a 4-vector, and a class shift."""
    trunk = {"kind": "couplings", "steps": 1, "width": 8, "blocks": 1}
    config = Config(preset="vectors", dataset="mine.parquet", trunk=trunk, head={"kind": "shift"})
    flow = build_flow(config, (4,), 3, torch.Generator().manual_seed(0))
    products = 2 * (2 * 8 + 8 * 4) + 4 * 4  # two nets, and the mixing
    assert gflops(flow, (4,)) == pytest.approx(3 * 2 * products / 1e9)


def test_weights_of_another_architecture_are_refused_with_the_differences(perturbed):
    small, _ = perturbed("pca", torch.float32)
    wide = build_flow(
        Config(preset="pca32", trunk={"width": 24}, head={"width": 16, "levels": 2}),
        (32,),
        10,
        torch.Generator().manual_seed(0),
    )
    with pytest.raises(DataError, match=r"another architecture: .*has shape \(16, 16\), expected \(24, 16\)"):
        load(wide, small.state_dict())


def test_every_weight_gets_a_gradient(perturbed, flow_name):
    flow, x = perturbed(flow_name, torch.float32)
    flow.train()
    terms = flow(x, torch.arange(flow.classes), True)
    (terms.joint.sum() + terms.unlabelled.logsumexp(1).sum()).backward()
    weights = {n: p for n, p in flow.named_parameters() if p.shape != (1, 1)}  # mixing of one channel: no triangles
    assert [n for n, p in weights.items() if p.grad is None or not p.grad.abs().sum()] == []


def test_weights_come_from_the_generator_alone():
    torch.manual_seed(7)
    before = torch.get_rng_state()
    one, other = (build_flow(Config(), (2,), 2, torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(torch.get_rng_state(), before), "the global generator is not touched"
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)
    assert functional_call(one, dict(one.named_parameters()), (torch.zeros(4, 2), torch.tensor([0]))).joint.shape == (
        1,
    )


@pytest.mark.parametrize(("preset", "shape", "classes"), [("toy", (2,), 2), ("pca32", (32,), 10)])
def test_chunks_of_classes_set_up_the_same_flow_bit_for_bit(preset, shape, classes):
    """ActNorms inside the head see all classes, however few of them are evaluated at once later."""
    x = torch.randn(300, *shape, generator=torch.Generator().manual_seed(1))
    found = []
    for chunk in (0, 1, 2):
        config = Config(preset=preset, class_chunk=chunk)
        flow = build_flow(config, shape, classes, torch.Generator().manual_seed(0))
        flow.initialise(x)
        with torch.no_grad():
            found.append((flow.state_dict(), flow.under_classes(flow.encode(x))))
    for weights, density in found[1:]:
        assert all(torch.equal(value, found[0][0][key]) for key, value in weights.items())
        assert torch.equal(density, found[0][1])


def test_deep_flows_on_pictures_keep_their_inverse_as_weights_move():
    """28 x 28, 21 nets, all weights moved by N(0, 0.05^2) after the set-up: the preset's bound against the old one."""
    generator = torch.Generator().manual_seed(0)
    x, labels = torch.rand(32, 1, 28, 28, generator=generator, dtype=torch.float64), torch.arange(32) % 10
    errors = {}
    for bound in ("half", "tanh"):
        flow = build_flow(Config(preset="cpu", bound=bound), (1, 28, 28), 10, torch.Generator().manual_seed(0)).double()
        flow.initialise(x)
        moved = torch.Generator().manual_seed(1)
        with torch.no_grad():
            for parameter in flow.parameters():
                parameter.add_(0.05 * torch.randn(parameter.shape, generator=moved, dtype=torch.float64))
            errors[bound] = (flow.decode(*flow.latents(x, labels), labels) - x).abs().max().item()
    assert Config(preset="cpu").bound == "half"
    assert errors["half"] < 1e-6
    assert not errors["tanh"] < 0.1
