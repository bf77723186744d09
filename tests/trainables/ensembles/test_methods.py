"""The mathematics of the methods, each against an independent truth."""

import functools
import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Normal, kl_divergence
from torch.nn import functional

from raybayes import data as raybayes_data
from trainables.ensembles import Config
from trainables.ensembles.architectures.build import ARCHITECTURES, build, initialise, torch_default
from trainables.ensembles.architectures.dropout import Dropout, nowhere, set_dropout, set_noise
from trainables.ensembles.config import BatchEnsembleValues
from trainables.ensembles.data.images import prepare
from trainables.ensembles.methods.batch_ensemble import Rank1
from trainables.ensembles.methods.csgld import add_noise
from trainables.ensembles.methods.laplace import Curvature, CurvatureSums, diagonal, inverse_root, kronecker
from trainables.ensembles.methods.last_layer import covariance_root, gauss_newton, probit
from trainables.ensembles.methods.mimo import shuffled_rows
from trainables.ensembles.methods.packed import Packing
from trainables.ensembles.methods.registry import METHODS
from trainables.ensembles.methods.swag import Moments
from trainables.ensembles.methods.variational import Gaussian
from trainables.ensembles.run.layers import replace_layers
from trainables.ensembles.run.plan import plan


class Quiet:
    """Enough of a context to build a run."""

    device = torch.device("cpu")

    def rng(self, name):
        return torch.Generator().manual_seed(sum(map(ord, name)))


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def a_run(**values):
    config = Config.model_validate({"train_images": 60, "test_images": 10, **values})
    data = prepare(config, raybayes_data.load(config.dataset), torch.device("cpu"))
    return METHODS[config.method](config, data, Quiet(), 0)


# Cyclical SGLD


@pytest.mark.parametrize("momentum", [0.0, 0.8])
def test_langevin_noise_samples_the_tempered_posterior(momentum):
    # U = 3/2·w² sampled at temperature 0.2 has variance 0.2/3. 2,000 independent chains.
    w = nn.Parameter(torch.zeros(2000))
    optimizer = torch.optim.SGD([w], lr=0.02, momentum=momentum)
    generator = seeded()
    for _ in range(400):
        optimizer.zero_grad()
        (1.5 * w.square().sum()).backward()
        add_noise([w], 0.02, momentum, 0.2, generator)
        optimizer.step()
    assert float(w.detach().var()) == pytest.approx(0.2 / 3, rel=0.12)


def test_noise_enters_only_the_last_epochs_of_a_cycle():
    run = a_run(method="csgld", csgld={"cycle_epochs": 4, "noise_epochs": 2, "samples": 1})
    for epoch, noisy in ((0, False), (1, False), (2, True), (3, True), (5, False), (6, True)):
        run.before_epoch(epoch)
        for parameter in run.model.parameters():
            parameter.grad = torch.zeros_like(parameter)
        run.before_update(epoch, 0.1)
        assert any(parameter.grad.abs().sum() > 0 for parameter in run.model.parameters()) == noisy


def test_members_of_every_cycle_come_from_its_last_epochs():
    config = Config(method="csgld", members=5, csgld={"cycle_epochs": 6, "noise_epochs": 4, "samples": 2})
    assert plan(config).snapshots == (5, 6, 11, 12, 17)


# Fast geometric ensembling


def test_members_are_taken_where_the_rate_is_lowest():
    run = a_run(method="fge", members=3, epochs=6, fge={"cycle_epochs": 4})
    assert run.plan.snapshots == (8, 12, 16)
    assert run.learning_rate(0) == 0.05
    for end in run.plan.snapshots:
        assert run.learning_rate(end - 1e-9) == pytest.approx(5e-4, rel=1e-3)
        assert run.learning_rate(end - 2) == pytest.approx(0.05)
    assert run.learning_rate(7) == pytest.approx((0.05 + 5e-4) / 2)


def test_cycles_that_begin_low_count_the_first_network():
    run = a_run(method="fge", members=3, epochs=6, fge={"cycle_epochs": 4, "start_low": True})
    assert run.plan.snapshots == (6, 10, 14)
    assert run.learning_rate(6) == run.learning_rate(10) == pytest.approx(5e-4)
    assert run.learning_rate(8) == pytest.approx(0.05)


# SWAG


def test_moments_equal_those_of_all_weights_together():
    weights = torch.randn(7, 5, generator=seeded())
    moments = Moments(rank=3)
    for row in weights:
        moments.add(row)
    assert torch.allclose(moments.mean, weights.mean(0), atol=1e-6)
    assert torch.allclose(moments.square, weights.square().mean(0), atol=1e-6)
    for t, deviation in zip((5, 6, 7), moments.deviations, strict=True):
        assert torch.allclose(deviation, weights[t - 1] - weights[:t].mean(0), atol=1e-6)


def test_samples_have_the_low_rank_plus_diagonal_covariance():
    mixing = torch.tensor([[2.0, 1, 0, 0], [0, 1, 1, 0], [0, 0, 1, 0], [1, 0, 0, 1]])
    weights = torch.randn(6, 4, generator=seeded(1)) @ mixing
    moments = Moments(rank=4)
    for row in weights:
        moments.add(row)
    generator = seeded(2)
    samples = torch.stack([moments.sample(0.5, generator) for _ in range(8_000)]).double()
    d = torch.stack(moments.deviations, dim=1).double()
    wanted = 0.5 * (torch.diag((moments.square - moments.mean.square()).double()) + d @ d.T / 3)
    assert torch.allclose(torch.cov(samples.T), wanted, atol=0.06 * float(wanted.diagonal().max()))
    assert wanted[0, 1].abs() > 0.1  # one z2 for all weights: covariances between them are there
    assert torch.allclose(samples.mean(0), moments.mean.double(), atol=0.05)


def test_batch_statistics_are_those_of_the_sampled_weights():
    run = a_run(method="swa", arch="resnet20", augment=False, train_images=40, batch=8, swag={"epochs": 2})
    model = run.twin()
    run.renew_statistics(model, 5)
    first = model.body[1]
    images = run.data.normalise(run.data.train.images)
    with torch.no_grad():
        out = model.body[0](images)
    assert torch.allclose(first.running_mean, out.mean((0, 2, 3)), atol=1e-5)
    assert torch.allclose(first.running_var, out.var((0, 2, 3)), rtol=0.2)
    assert first.momentum == 0.1
    assert not torch.equal(first.running_mean, run.model.body[1].running_mean)


def test_weights_are_collected_in_the_second_stage_alone():
    run = a_run(method="swag", batch=16, swag={"epochs": 4, "start": 0.5, "collect": 2, "rank": 4})
    for step in range(4):
        run.advance(step)
        assert run.moments.count == [0, 0, 2, 4][step]
    assert run.learning_rate(3) == 0.01


# MC dropout


def test_dropout_keeps_the_mean_and_can_be_filterwise():
    layer = Dropout(0.3, filterwise=True)
    set_noise(layer, seeded())
    x = torch.ones(500, 8, 3, 3)
    out = layer(x)
    per_channel = out.flatten(2)
    assert (per_channel == per_channel[..., :1]).all()
    assert float(out.mean()) == pytest.approx(1, abs=0.05)
    assert float((out == 0).float().mean()) == pytest.approx(0.3, abs=0.03)
    layer.eval()
    assert torch.equal(layer(x), x)
    set_dropout(layer, active=True)
    assert not torch.equal(layer(x), x)


def test_dropout_without_a_generator_says_so():
    with pytest.raises(RuntimeError, match="call set_noise"):
        Dropout(0.5, filterwise=False)(torch.ones(1, 2))


def test_dropout_masks_at_test_time_leave_batch_statistics_alone():
    run = a_run(method="mc_dropout", arch="resnet20", train_images=30, test_images=4, dropout={"placement": "every"})
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    first, second, again = run.draw(0), run.draw(1), run.draw(0)
    assert not torch.equal(first["val"], second["val"])
    assert torch.equal(first["val"], again["val"])
    assert all(torch.equal(before[name], value) for name, value in run.model.state_dict().items())


# Variational inference


def gaussian(layer):
    wrapped = Gaussian(layer, -1.0)
    with torch.no_grad():
        wrapped.initialise(seeded(3))
    wrapped.generator = seeded(4)
    return wrapped


def test_divergence_is_the_kl_to_the_prior():
    layer = gaussian(nn.Linear(6, 5))
    variance = 0.7
    posterior = Normal(layer.layer.weight, layer.log_sigma.exp())
    wanted = kl_divergence(posterior, Normal(0.0, math.sqrt(variance))).sum()
    means = layer.layer.weight.square().sum() / (2 * variance)
    assert torch.isclose(layer.divergence(variance) / 2 + means, wanted, rtol=1e-5)
    assert layer.log_sigma.min() >= -1.1
    assert layer.log_sigma.max() <= -1.0


def test_local_reparametrisation_has_the_moments_of_sampled_weights():
    layer = gaussian(nn.Linear(4, 3))
    x = torch.randn(1, 4, generator=seeded(5))
    with torch.no_grad():
        layer.sampling = "noise"
        local = layer(x.expand(20_000, 4))
        explicit = torch.stack([layer.with_weight(x, layer.draw())[0] for _ in range(4000)])
    assert torch.allclose(local.mean(0), explicit.mean(0), atol=0.05)
    assert torch.allclose(local.std(0), explicit.std(0), rtol=0.06)


def test_a_variational_member_is_one_network():
    run = a_run(method="vi", vi={"init": "scratch", "log_sigma": -1.0})
    run.draw(0)
    layers = run.gaussians()
    assert all(layer.sampling == "weights" for layer in layers)
    one = run.log_probabilities(run.model, run.data.scored["val"].images)
    assert torch.equal(one, run.log_probabilities(run.model, run.data.scored["val"].images))
    assert not torch.equal(one, run.current("val"))


def test_variational_loss_adds_the_scaled_divergence():
    run = a_run(method="vi", vi={"init": "scratch", "beta": 2.0})
    images, labels = next(run.batches(0))
    run.before_epoch(0)
    set_noise(run.model, seeded(6))
    found = run.loss(images, labels)
    set_noise(run.model, seeded(6))
    fit = functional.cross_entropy(run.model(images), labels)
    n = len(run.data.train)
    divergence = sum(layer.divergence(1 / (n * 5e-4)) for layer in run.gaussians())
    assert torch.isclose(found, fit + 2.0 / (2 * n) * divergence, rtol=1e-6)


# Laplace


def positive(size, seed):
    root = torch.randn(size, size + 2, generator=seeded(seed), dtype=torch.float64)
    return root @ root.T / size


def test_inverse_root_is_a_root_of_the_inverse():
    matrix = positive(6, 0)
    root = inverse_root(matrix)
    assert torch.allclose(root @ root.T, torch.linalg.inv(matrix))
    lower = torch.linalg.cholesky(matrix)
    transposed = torch.linalg.inv(lower)  # L^-1 L^-T, as in the reference code, is another matrix
    assert not torch.allclose(transposed @ transposed.T, torch.linalg.inv(matrix), rtol=0.1)


def test_kronecker_samples_have_the_posterior_covariance():
    curvature = Curvature(positive(3, 1), positive(2, 2), torch.zeros(()))
    n, prior = 50, 4.0
    a, g = curvature.inputs, curvature.outputs
    ratio = math.sqrt((a.trace() / 3) / (g.trace() / 2))
    damped_a = math.sqrt(n) * a + ratio * math.sqrt(prior) * torch.eye(3)
    damped_g = math.sqrt(n) * g + math.sqrt(prior) / ratio * torch.eye(2)
    wanted = torch.linalg.inv(torch.kron(damped_g, damped_a))  # rows of W one after the other
    posterior, generator = kronecker(curvature, n, prior), seeded(7)
    samples = torch.stack([posterior.sample(generator).flatten() for _ in range(20_000)]).double()
    assert torch.allclose(torch.cov(samples.T), wanted, atol=0.04 * float(wanted.diagonal().max()))
    exact = torch.kron(posterior.left @ posterior.left.T, posterior.right @ posterior.right.T).double()
    assert torch.allclose(exact, wanted, atol=1e-6)


@pytest.mark.parametrize("layer", [nn.Linear(5, 3), nn.Conv2d(2, 3, 3, stride=2, padding=1)], ids=["linear", "conv"])
def test_curvature_equals_per_object_gradients(layer):
    shape = (4, 5) if isinstance(layer, nn.Linear) else (4, 2, 6, 6)
    x = torch.randn(shape, generator=seeded(8))
    target = torch.randn(layer(x).shape, generator=seeded(9))
    sums = CurvatureSums(layer, diagonal_wanted=True)
    hook = layer.register_forward_hook(sums.forward_hook)
    (0.5 * (layer(x) - target).square().sum()).backward()
    hook.remove()
    found, squares = sums.curvature(), []
    a_sum, g_sum = 0.0, 0.0
    for i in range(4):
        layer.zero_grad()
        out = layer(x[i : i + 1])
        (0.5 * (out - target[i : i + 1]).square().sum()).backward()
        gradient = torch.cat([layer.weight.grad.flatten(1), layer.bias.grad[:, None]], dim=1)
        squares.append(gradient.square())
        residual = (out - target[i : i + 1]).detach()
        g = residual.flatten(2)[0] if out.dim() == 4 else residual.T
        a = sums.patches(x[i : i + 1])[0].T
        assert torch.allclose(g @ a.T, gradient, atol=1e-5)  # patches and gradients make up the gradient of the weights
        a_sum, g_sum = a_sum + a @ a.T, g_sum + g @ g.T / g.shape[1]
    assert torch.allclose(found.diagonal, torch.stack(squares).mean(0), rtol=1e-4)
    assert torch.allclose(found.inputs, a_sum / 4, rtol=1e-4, atol=1e-5)
    assert torch.allclose(found.outputs, g_sum / 4, rtol=1e-4, atol=1e-5)


def test_diagonal_posterior_by_hand():
    posterior = diagonal(Curvature(torch.zeros(()), torch.zeros(()), torch.tensor([[0.5, 2.0]])), n=10, prior=1.0)
    assert torch.allclose(posterior.deviation, torch.tensor([[1 / math.sqrt(6), 1 / math.sqrt(21)]]))


def test_the_curvature_pass_leaves_the_network_as_it_was():
    run = a_run(method="laplace", arch="resnet20", train_images=30, test_images=4, laplace={"scale": 0.5})
    before = {name: value.clone() for name, value in run.model.state_dict().items()}
    first, second = run.draw(0), run.draw(1)
    assert not torch.equal(first["val"], second["val"])
    assert all(torch.equal(before[name], value) for name, value in run.model.state_dict().items())
    layers = {name for name, m in run.model.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)}
    assert set(run.posteriors) == layers


def test_the_gauss_newton_matrix_of_a_softmax_layer_is_its_hessian():
    features = torch.randn(7, 3, generator=seeded(10), dtype=torch.float64)
    labels = torch.tensor([0, 1, 2, 3, 0, 1, 2])
    weights = torch.randn(4, 3, generator=seeded(11), dtype=torch.float64)

    def loss(flat):
        return functional.cross_entropy(features @ flat.reshape(4, 3).T, labels, reduction="sum")

    hessian = torch.autograd.functional.hessian(loss, weights.flatten())
    assert torch.allclose(gauss_newton(features, (features @ weights.T).softmax(1)), hessian)
    root = covariance_root(torch.linalg.eigh(hessian), 0.3)
    assert torch.allclose(root @ root.T, torch.linalg.inv(hessian + 0.3 * torch.eye(12)))


def test_probit_without_variance_is_softmax():
    logits = torch.randn(5, 3, generator=seeded(12))
    assert torch.allclose(probit(logits, torch.zeros(5, 3)), logits.log_softmax(1))
    assert probit(logits, torch.full((5, 3), 1e9)).exp() == pytest.approx(np.full((5, 3), 1 / 3), abs=1e-3)


def test_sampled_heads_agree_with_the_closed_form_on_the_mean():
    run = a_run(method="last_layer_laplace", last_layer={"delta": 30.0})
    members = torch.stack([run.draw(k)["val"].exp() for k in range(200)]).mean(0)
    closed = run.probit_log_probabilities(run.data.scored["val"].images, run.root).exp()
    assert torch.allclose(members, closed, atol=0.05)


# Several members in one network


@pytest.mark.parametrize("layer", [nn.Linear(4, 3), nn.Conv2d(4, 3, 3, padding=1)], ids=["linear", "conv"])
def test_rank_one_members_equal_layers_with_their_own_weights(layer):
    wrapped = Rank1(layer, 3, BatchEnsembleValues(init="normal"))
    with torch.no_grad():
        wrapped.initialise(seeded(13))
        wrapped.bias.normal_(generator=seeded(14))
    spatial = (5, 5) if isinstance(layer, nn.Conv2d) else ()
    x = torch.randn(6, 4, *spatial, generator=seeded(15))  # 3 members, 2 objects each
    out = wrapped(x).unflatten(0, (3, 2))
    for m in range(3):
        outer = torch.outer(wrapped.s[m], wrapped.r[m])
        weight = layer.weight * outer.reshape(*outer.shape, *[1] * len(spatial))
        part = x[2 * m : 2 * m + 2]
        plain = functional.linear if not spatial else functools.partial(functional.conv2d, padding=1)
        wanted = plain(part, weight, wrapped.bias[m])
        assert torch.allclose(out[m], wanted, atol=1e-5)


def test_fast_weights_start_as_signs_and_are_not_decayed():
    run = a_run(method="batch_ensemble", members=3)
    layers = [m for m in run.model.modules() if isinstance(m, Rank1)]
    assert all(set(layer.r.unique().tolist()) <= {-1.0, 1.0} for layer in layers)
    decayed = {id(p) for p in run.optimizer.param_groups[0]["params"]}
    assert all(id(layer.r) not in decayed and id(layer.s) not in decayed for layer in layers)
    assert run.optimizer.param_groups[1]["weight_decay"] == 0
    assert sum(len(group["params"]) for group in run.optimizer.param_groups) == len(list(run.model.parameters()))


@pytest.mark.parametrize(("arch", "alpha", "gamma"), [("cnn", 2.0, 1), ("lenet", 1.5, 2), ("resnet20", 3.0, 1)])
def test_packed_members_share_nothing(arch, alpha, gamma):
    members = 3

    def convert(model):
        replace_layers(model, Packing(members, alpha, gamma).layer)

    model = build(arch, 1, 28, 10, seeded(16), convert=convert).eval()
    x = torch.rand(2, members, 28, 28, generator=seeded(17), requires_grad=True)
    logits = model(x).unflatten(1, (members, -1))
    for m in range(members):
        gradient = torch.autograd.grad(logits[:, m].sum(), x, retain_graph=True)[0]
        assert [bool(gradient[:, k].abs().sum() > 0) for k in range(members)] == [k == m for k in range(members)]


def test_a_pack_as_wide_as_its_members_is_that_many_networks():
    def convert(model):
        replace_layers(model, Packing(4, 4.0, 1).layer)

    packed = build("resnet20", 3, 32, 10, seeded(18), convert=convert)
    assert sum(p.numel() for p in packed.parameters()) == 4 * 272_474
    std = packed.body[3].conv1.weight.detach().std()  # as in one member, not as in a layer 4 times as wide
    assert float(std) == pytest.approx(math.sqrt(2 / (9 * 16)), rel=0.05)


def test_multi_input_rows_are_shuffles_that_agree_where_inputs_repeat():
    rows = shuffled_rows(40, 3, 2, 0.25, seeded(19))
    assert rows.shape == (3, 80)
    for row in rows:
        assert torch.bincount(row).tolist() == [2] * 40
    assert (rows[0, :20] == rows[1, :20]).all()
    assert (rows[0, :20] == rows[2, :20]).all()
    assert (rows[0] != rows[1]).any()
    everything = shuffled_rows(10, 2, 1, 1.0, seeded())
    assert torch.equal(everything[0], everything[1])


def test_multi_input_loss_pairs_each_head_with_its_own_image():
    run = a_run(method="mimo", members=2)
    run.before_epoch(0)
    images, labels = next(run.batches(0))
    found = run.loss(images, labels)
    rows = shuffled_rows(len(labels), 2, 1, 0.0, run.rng("shuffles-0"))
    logits = run.model(torch.cat([images[rows[0]], images[rows[1]]], dim=1)).unflatten(1, (2, -1))
    losses = [functional.cross_entropy(logits[:, head], labels[rows[head]]) for head in range(2)]
    assert float(found.detach()) == pytest.approx(float(sum(losses).detach()) / 2, rel=1e-6)


def test_an_unknown_layer_with_weights_is_refused():
    with pytest.raises(TypeError, match=r"Bilinear has parameters \(weight, bias\) and no known initialisation"):
        initialise(nn.Sequential(nn.Bilinear(2, 2, 2)), torch_default, seeded())


DEEP = ("preresnet110", "preresnet164", "resnet50")  # of the same layers as others, many times over
CONVERSIONS = [
    *[("packed", arch) for arch in ARCHITECTURES if arch != "preresnet164"],
    *[(method, arch) for method in ("mimo", "batch_ensemble", "vi") for arch in ARCHITECTURES if arch not in DEEP],
]


@pytest.mark.parametrize(("method", "arch"), CONVERSIONS)
def test_every_architecture_can_be_converted(method, arch):
    config = Config(method=method, arch=arch, dataset="cifar10-sample", members=4)
    run = object.__new__(METHODS[method])  # without data: only the network is made, and without memory
    run.config = config
    with torch.device("meta"):
        run.model = ARCHITECTURES[arch].make(3, 32, 10, nowhere)
        run.convert(run.model)
        images = torch.empty(2, 3, 32, 32)
        plain = sum(p.numel() for p in ARCHITECTURES[arch].make(3, 32, 10, nowhere).parameters())
    parameters = sum(p.numel() for p in run.model.parameters())
    if method == "vi":
        assert run.model(images).shape == (2, 10)
        assert plain < parameters <= 2 * plain
    else:
        assert run.head_logits(images).shape == (2, 4, 10)
        # Twice as wide in 4 groups: the weights of one network and a few more; vectors and heads: a few per cent.
        # An MLP is its first layer: twice as wide (packed), or with the inputs of 4 images (mimo).
        most = {"packed": 2.1, "mimo": 4.1}.get(method, 1.3) if arch == "mlp" else 1.3
        assert plain < parameters < most * plain
