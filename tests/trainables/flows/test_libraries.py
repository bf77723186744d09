"""Layers with the same weights as those of two other flow libraries, normflows and FrEIA: same images, same densities.

normflows' `inverse` leads from data to latents, so it is compared with `forward` here.
"""

import normflows
import pytest
import torch
from FrEIA.modules import GLOWCouplingBlock
from torch import nn

from trainables.flows.layers import ActNorm, Checkerboard, Coupling, Logit, Mix, Squeeze
from trainables.flows.layers.nets import ConditionalMlp, Mlp, NetValues, ResidualNet

CLASSES = 3


def values():
    return NetValues(torch.Generator().manual_seed(1), 6, 1)


def rough(layer, seed=3):
    """The layer in float64, all its weights moved by N(0, 0.3^2)."""
    generator = torch.Generator().manual_seed(seed)
    layer = layer.double()
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape, generator=generator, dtype=torch.float64))
    return layer


def examples(*shape):
    return torch.randn(7, *shape, generator=torch.Generator().manual_seed(4), dtype=torch.float64)


def same(mine, theirs):
    """Images, and log-determinants of every row (a library may give one number for all)."""
    torch.testing.assert_close(mine[0], theirs[0], atol=1e-12, rtol=1e-12)
    log_det = torch.as_tensor(theirs[1], dtype=torch.float64).expand(mine[1].shape)
    torch.testing.assert_close(mine[1], log_det, atol=1e-11, rtol=1e-12)


@pytest.mark.parametrize("shape", [(3, 4, 5), (4,)])
def test_actnorm_is_normflows(shape):
    norm = rough(ActNorm(shape[0], pictures=len(shape) == 3))
    theirs = normflows.flows.ActNorm((shape[0], 1, 1) if len(shape) == 3 else shape).double()
    theirs.data_dep_init_done.fill_(1.0)
    with torch.no_grad():
        theirs.s.copy_(norm.log_scale.view_as(theirs.s))
        theirs.t.copy_((-norm.shift * norm.log_scale.exp()).view_as(theirs.t))
    x = examples(*shape)
    same(norm(x), theirs(x))
    torch.testing.assert_close(norm.inverse(x), theirs.inverse(x)[0])


@pytest.mark.parametrize("pictures", [True, False])
def test_the_lu_form_is_normflows(pictures):
    mix = rough(Mix(5, pictures, "lu", "orthogonal", torch.Generator().manual_seed(2)))
    with torch.random.fork_rng():  # the library draws from the global generator
        theirs = normflows.flows.Invertible1x1Conv(5, use_lu=True).double()
    with torch.no_grad():
        theirs.P.copy_(torch.eye(5, dtype=torch.float64)[mix.order])
        theirs.L.copy_(mix.triangles)
        theirs.U.copy_(mix.triangles)
        theirs.sign_S.copy_(mix.sign)
        theirs.log_S.copy_(mix.log_diagonal)
    if pictures:
        x = examples(5, 3, 2)
        same(mix(x), theirs.inverse(x))
        torch.testing.assert_close(mix.inverse(x), theirs(x)[0])
        return
    x = examples(5)
    image, log_det = theirs.inverse(x[:, :, None, None])
    same(mix(x), (image[:, :, 0, 0], log_det))
    torch.testing.assert_close(mix.inverse(x), theirs(x[:, :, None, None])[0][:, :, 0, 0])


def test_the_dense_form_is_normflows():
    mix = rough(Mix(4, True, "dense", "orthogonal", torch.Generator().manual_seed(2)))
    with torch.random.fork_rng():
        theirs = normflows.flows.Invertible1x1Conv(4, use_lu=False).double()
    with torch.no_grad():
        theirs.W.copy_(mix.weight)
    x = examples(4, 3, 2)
    same(mix(x), theirs.inverse(x))


def test_squeeze_and_logit_are_normflows():
    pictures = examples(3, 4, 6)
    same(Squeeze()(pictures), normflows.flows.Squeeze().inverse(pictures))
    x = torch.rand(7, 1, 3, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    same(Logit(0.05)(x), normflows.transforms.Logit(0.025).inverse(x))


class Part(nn.Module):
    """The log-scales or the shifts of a net whose scales are bounded by log s = 2 tanh(raw / 2)."""

    def __init__(self, net, number, axis):
        super().__init__()
        self.net, self.number, self.axis = net, number, axis

    def forward(self, x):
        raw, shift = self.net(x).chunk(2, self.axis)
        return (2 * torch.tanh(raw / 2), shift)[self.number]


@pytest.mark.parametrize("parity", [0, 1])
def test_the_checkerboard_is_normflows(parity):
    layer = rough(Checkerboard(ResidualNet(2, 4, values()), parity))
    rows, columns = torch.arange(5), torch.arange(3)
    mask = ((rows[:, None] + columns + parity) % 2).double().expand(2, 5, 3)
    scale, shift = (Part(layer.net, number, 1) for number in (0, 1))
    theirs = normflows.flows.MaskedAffineFlow(mask, shift, scale)
    x = examples(2, 5, 3)
    same(layer(x), theirs(x))
    torch.testing.assert_close(layer.inverse(x), theirs.inverse(x)[0])


class Adapted(nn.Module):
    """A net as FrEIA's couplings want it: y = s x + t, where this library's are y = s (x + t).

    Args:
        classes: how many channels at the end of the input are e(y), one-hot rows of the label.
    """

    def __init__(self, net, classes=0):
        super().__init__()
        self.net, self.classes = net, classes

    def forward(self, x):
        out = self.net(x) if not self.classes else self._concatenated(x)
        raw, shift = out.chunk(2, 1)
        return torch.cat([raw, shift * torch.exp(2 * torch.tanh(raw / 2))], 1)

    def _concatenated(self, x):
        """The net with [x; e(y)] as the input of its first layer, written out."""
        net = self.net
        weight = torch.cat([net.enter.weight, (net.label.embedding @ net.label.weight).T], 1)
        hidden = x @ weight.T + net.enter.bias
        for block in net.blocks:
            hidden = hidden + block(hidden)
        norm = (hidden - net.norm.shift) * net.norm.log_scale.exp()
        return norm.relu() @ net.leave.weight.T + net.leave.bias


def freia(layer, shape, classes=0):
    """FrEIA's coupling of both halves with the nets of a coupling of this library."""
    nets = iter((Adapted(layer.second, classes), Adapted(layer.first, classes)))
    conditions = [(classes,)] if classes else []
    return GLOWCouplingBlock([shape], conditions, lambda *_: next(nets), clamp=2.0,
                             clamp_activation=lambda raw: torch.tanh(raw / 2), split_len=shape[0] // 2)  # fmt: skip


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: Coupling(4, ResidualNet(2, 4, values()), ResidualNet(2, 4, values()), True), (4, 3, 3)),
        (lambda: Coupling(5, Mlp(3, 4, values()), Mlp(2, 6, values())), (5,)),
    ],
    ids=["pictures", "odd vectors"],
)
def test_a_coupling_is_freias(make, shape):
    layer = rough(make())
    theirs = freia(layer, shape)
    x = examples(*shape)
    (image,), log_det = theirs([x])
    same(layer(x), (image, log_det))
    (back,), _ = theirs([x], rev=True)
    torch.testing.assert_close(layer.inverse(x), back)


def test_a_conditional_coupling_is_freias_with_the_label_concatenated():
    """A class bias for all classes at once, against the embedded label beside the input, one label at a time."""
    nets = ConditionalMlp(3, 4, values(), CLASSES), ConditionalMlp(2, 6, values(), CLASSES)
    layer = rough(Coupling(5, *nets))
    theirs = freia(layer, (5,), CLASSES)
    x = examples(5)
    images, log_dets = layer(x[:, None], torch.arange(CLASSES))
    assert images.shape == (7, CLASSES, 5)
    one_hot = torch.eye(CLASSES, dtype=torch.float64)
    for label in range(CLASSES):
        condition = one_hot[label].expand(len(x), -1)
        (image,), log_det = theirs([x], [condition])
        same((images[:, label], log_dets[:, label]), (image, log_det))
        (back,), _ = theirs([x], [condition], rev=True)
        torch.testing.assert_close(layer.inverse(x, torch.full((7,), label)), back)
