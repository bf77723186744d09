"""Layers against autograd Jacobians and closed forms; other libraries are in test_libraries.py."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.flows import layers
from trainables.flows.layers import ActNorm, Checkerboard, Coupling, Logit, Mix, Split, Squeeze
from trainables.flows.layers.nets import ConditionalMlp, GlowNet, Mlp, NetValues, ResidualNet
from trainables.flows.layers.ode import OdeFlow


def values(width=6, blocks=1):
    return NetValues(torch.Generator().manual_seed(1), width, blocks)


def mix(channels, pictures, form, start="orthogonal"):
    return Mix(channels, pictures, form, start, torch.Generator().manual_seed(2))


CASES = {
    "actnorm, pictures": (lambda: ActNorm(3, True), (3, 4, 4)),
    "actnorm, vectors": (lambda: ActNorm(4), (4,)),
    "lu, pictures": (lambda: mix(3, True, "lu"), (3, 4, 2)),
    "lu from eye": (lambda: mix(5, False, "lu", "eye"), (5,)),
    "lu, vectors": (lambda: mix(5, False, "lu"), (5,)),
    "dense, pictures": (lambda: mix(3, True, "dense"), (3, 2, 2)),
    "dense, vectors": (lambda: mix(4, False, "dense"), (4,)),
    "coupling, pictures": (
        lambda: Coupling(4, ResidualNet(2, 4, values()), ResidualNet(2, 4, values()), True),
        (4, 3, 3),
    ),
    "coupling, glow net": (lambda: Coupling(2, GlowNet(1, 2, values()), GlowNet(1, 2, values()), True), (2, 4, 4)),
    "coupling, odd": (lambda: Coupling(5, Mlp(3, 4, values()), Mlp(2, 6, values())), (5,)),
    "coupling, sigmoid": (lambda: Coupling(4, Mlp(2, 4, values()), Mlp(2, 4, values()), bound="sigmoid"), (4,)),
    "conditional": (
        lambda: Coupling(4, ConditionalMlp(2, 4, values(), 3), ConditionalMlp(2, 4, values(), 3, learned=False)),
        (4,),
    ),
    "checkerboard, odd size": (lambda: Checkerboard(ResidualNet(2, 4, values()), 0), (2, 5, 3)),
    "checkerboard, other parity": (lambda: Checkerboard(ResidualNet(1, 2, values()), 1, "sigmoid"), (1, 4, 4)),
    "squeeze": (Squeeze, (2, 4, 6)),
    "logit": (Logit, (1, 3, 3)),
}


def made(name, dtype):
    make, shape = CASES[name]
    generator = torch.Generator().manual_seed(3)
    layer = make().to(dtype)
    x = torch.rand(6, *shape, generator=generator, dtype=dtype)
    labels = torch.tensor([0, 1, 2, 2, 1, 0])
    layers.initialising(layer, lambda: layer(x, labels))
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator, dtype=dtype))
    return layer, x, labels


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float32, 1e-5), (torch.float64, 1e-10)])
def test_the_inverse_undoes_the_layer_at_perturbed_weights(name, dtype, tolerance):
    layer, x, labels = made(name, dtype)
    with torch.no_grad():
        y, _ = layer(x, labels)
        assert (layer.inverse(y, labels) - x).abs().max() <= tolerance


@pytest.mark.parametrize("name", CASES)
def test_the_log_determinant_is_that_of_the_jacobian(name):
    layer, x, labels = made(name, torch.float64)
    _, log_det = layer(x, labels)
    assert log_det.shape == (6,)
    for row in range(3):
        jacobian = torch.autograd.functional.jacobian(
            lambda one, row=row: layer(one[None], labels[row : row + 1])[0][0], x[row]
        )
        size = x[row].numel()
        found = torch.linalg.slogdet(jacobian.reshape(size, size)).logabsdet
        assert log_det[row].item() == pytest.approx(found.item(), abs=1e-9)


@pytest.mark.parametrize("bound", ["tanh", "sigmoid", "half"])
@given(raw=st.floats(-1e6, 1e6))
@settings(max_examples=60, deadline=None)
def test_scales_stay_away_from_zero_and_infinity(bound, raw):
    scale = layers.log_scale(torch.tensor(raw, dtype=torch.float32), bound).exp().item()
    low, high = {"tanh": (math.exp(-2), math.exp(2)), "sigmoid": (0.01, 1.0), "half": (0.5, 1.0)}[bound]
    assert low * 0.999 <= scale <= high * 1.001


def test_a_coupling_starts_as_a_fixed_scaling():
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(0))
    for bound, expected in (("tanh", 1.0), ("sigmoid", 0.01 + 0.99 / (1 + math.exp(-2))),
                            ("half", 0.5 + 0.5 / (1 + math.exp(-2)))):  # fmt: skip
        layer = Coupling(6, Mlp(3, 6, values()), Mlp(3, 6, values()), bound=bound)
        y, log_det = layer(x)
        torch.testing.assert_close(y, x * expected)
        torch.testing.assert_close(log_det, torch.full((4,), 6 * math.log(expected)))


def test_actnorm_gives_mean_zero_and_deviation_one_once():
    generator = torch.Generator().manual_seed(0)
    x = 5 + 3 * torch.randn(300, 3, 4, 4, generator=generator)
    norm = ActNorm(3, True)
    assert layers.initialising(norm, lambda: norm(x)) == {}
    y, _ = norm(x)
    assert y.mean((0, 2, 3)).abs().max() < 1e-5
    assert (y.std((0, 2, 3), correction=0) - 1).abs().max() < 1e-4
    before = norm.shift.clone()
    layers.initialising(norm, lambda: norm(x + 7))
    assert torch.equal(norm.shift, before), "a set ActNorm stays"
    loaded = ActNorm(3, True)
    loaded.load_state_dict(norm.state_dict())
    layers.initialising(loaded, lambda: loaded(x + 7))
    assert torch.equal(loaded.shift, before), "a loaded one too: the flag is a buffer"


def test_a_constant_channel_keeps_its_scale_and_is_named():
    x = torch.randn(300, 3, generator=torch.Generator().manual_seed(0))
    x[:, 1] = 4.0
    norm = ActNorm(3)
    assert layers.initialising(norm, lambda: norm(x)) == {"": [1]}
    y, log_det = norm(x)
    assert y.isfinite().all()
    assert log_det.isfinite().all()
    assert norm.log_scale[1] == 0


def test_the_lu_form_starts_where_it_should():
    assert torch.equal(mix(4, False, "lu", "eye").matrix(), torch.eye(4))
    weight = mix(6, False, "lu").matrix().double()
    torch.testing.assert_close(weight @ weight.T, torch.eye(6, dtype=torch.float64), atol=1e-5, rtol=0)
    same = mix(6, False, "dense").matrix().double()
    torch.testing.assert_close(weight, same, atol=1e-5, rtol=0)


def test_squeeze_keeps_every_pixel_of_a_block():
    x = torch.arange(16.0).view(1, 1, 4, 4)
    y, log_det = Squeeze()(x)
    assert y.shape == (1, 4, 2, 2)
    assert sorted(y[0, :, 0, 0].tolist()) == [0, 1, 4, 5]
    assert log_det.tolist() == [0.0]


def test_split_is_undone_for_a_batch_of_one():
    x = torch.randn(1, 5, 2, 2)
    split = Split(5, True)
    gone, rest = split(x)
    assert gone.shape == (1, 2, 2, 2)
    assert torch.equal(split.inverse(gone, rest), x)


def test_logit_and_bits_per_dim_of_known_pictures():
    """An identity flow on pictures: all pixels 128, all zero, uniform ones; the values are those of the definition."""
    generator = torch.Generator().manual_seed(0)
    n, side = 400, 28
    logit = Logit(0.05)

    def bpd(images):
        x = layers.dequantise(images, torch.rand(images.shape, generator=generator, dtype=torch.float64))
        z, log_det = logit(x)
        log_density = log_det + layers.log_normal(z, (-3, -2, -1))
        return (8 - log_density / (side * side * math.log(2))).mean().item()

    shape = (n, 1, side, side)
    assert bpd(torch.full(shape, 128, dtype=torch.uint8)) == pytest.approx(7.3998, abs=2e-3)
    assert bpd(torch.zeros(shape, dtype=torch.uint8)) == pytest.approx(13.4431, abs=2e-3)
    uniform = torch.randint(0, 256, shape, generator=generator, dtype=torch.uint8)
    assert bpd(uniform) == pytest.approx(8.3489, abs=0.01)  # 4 deviations of the mean


def test_quantise_undoes_dequantise():
    images = torch.arange(256, dtype=torch.uint8).view(1, 1, 16, 16)
    for u in (0.0, 0.5, 0.999):
        assert torch.equal(layers.quantise(layers.dequantise(images, torch.full(images.shape, u))), images)
    assert layers.quantise(torch.tensor([-0.2, 1.3])).tolist() == [0, 255]


def test_classes_start_as_far_apart_as_told():
    """The released code concatenates the label, which starts as any column of torch's linear layer does."""
    far, near = (ConditionalMlp(6, 2, values(400), 10, label_scale=scale).label.weight for scale in (2.0, None))
    assert far.std().item() == pytest.approx(2, rel=0.05)
    assert 0.23 < near.abs().max().item() <= 0.25, "1 / sqrt(6 + 10)"


def test_recomputing_the_nets_changes_no_gradient():
    gradients = []
    for recompute in (False, True):
        layer = Coupling(4, Mlp(2, 4, values()), Mlp(2, 4, values()), recompute=recompute).double()
        with torch.no_grad():
            for parameter in layer.parameters():
                parameter.add_(0.1)
        x = torch.rand(5, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
        y, log_det = layer(x)
        (y.sum() + log_det.sum()).backward()
        gradients.append([parameter.grad.clone() for parameter in layer.parameters()])
    for plain, again in zip(*gradients, strict=True):
        assert torch.equal(plain, again)


def test_bfloat16_stays_inside_the_nets():
    x = torch.rand(8, 4, generator=torch.Generator().manual_seed(0))
    nets = [Mlp(2, 4, NetValues(torch.Generator().manual_seed(i), 16, 2, bfloat16=True)) for i in range(2)]
    layer = Coupling(4, *nets)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.1)
    training, log_det = layer.train()(x)
    assert training.dtype == log_det.dtype == torch.float32
    exact, _ = layer.eval()(x)
    assert 0 < ((training - exact) / exact).abs().max() < 0.02
    assert (layer.inverse(exact) - x).abs().max() < 1e-5


@pytest.mark.parametrize("classes", [0, 3])
def test_the_continuous_flow_against_the_jacobian_and_its_inverse(classes):
    labels = torch.tensor([0, 1, 2, 1]) if classes else None
    x = torch.randn(4, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    for tolerance, expected in ((1e-5, 2e-4), (1e-8, 2e-7)):
        flow = OdeFlow(2, NetValues(torch.Generator().manual_seed(1), 16, 2), classes, tolerance).double()
        y, log_det = flow(x, labels)
        for row in range(4):
            label = None if labels is None else labels[row : row + 1]
            jacobian = torch.autograd.functional.jacobian(lambda one, f=flow, k=label: f(one[None], k)[0][0], x[row])
            assert log_det[row].item() == pytest.approx(torch.linalg.slogdet(jacobian).logabsdet.item(), abs=expected)
        with torch.no_grad():
            assert (flow.inverse(y, labels) - x).abs().max() < expected
            assert (flow(x, labels)[1] - log_det).abs().max() < expected, "the same without gradients"


def test_the_continuous_flow_learns_its_time():
    flow = OdeFlow(2, NetValues(torch.Generator().manual_seed(1), 8, 1))
    y, log_det = flow(torch.randn(5, 2, generator=torch.Generator().manual_seed(0)))
    (y.square().sum() - log_det.sum()).backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in flow.parameters())
    assert flow.log_end.grad != 0


def test_a_field_that_explodes_is_refused():
    flow = OdeFlow(2, NetValues(torch.Generator().manual_seed(1), 8, 1))
    with torch.no_grad():
        flow.log_end.fill_(300.0)
    with pytest.raises(ArithmeticError, match=r"solver steps|not finite"):
        flow(torch.randn(3, 2, generator=torch.Generator().manual_seed(0)))
