"""Architectures: parameter counts, initialisation, independence from the global generators."""

import math

import pytest
import torch

from trainables.ensembles.architectures.build import ARCHITECTURES, build, he_fan_out, torch_default
from trainables.ensembles.architectures.dropout import nowhere


def made(name: str, channels: int, size: int, classes: int, seed: int = 0):
    return build(name, channels, size, classes, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("name", "shape", "classes", "parameters"),
    [
        ("mlp", (1, 28), 10, 50_890),
        ("cnn", (1, 28), 10, 8 * 26 + 16 * 201 + 784 * 64 + 64 + 650),
        ("lenet", (1, 28), 10, 61_706),
        ("resnet20", (3, 32), 10, 272_474),
        ("vgg16bn", (3, 32), 10, 15_253_578),
        ("vgg16bn", (3, 32), 100, 15_299_748),
        ("preresnet110", (3, 32), 10, 1_146_842),
        ("preresnet110", (3, 32), 100, 1_169_972),
        ("preresnet164", (3, 32), 10, 1_703_258),
        ("preresnet164", (3, 32), 100, 1_726_388),
        ("wrn28x10", (3, 32), 10, 36_489_290),
        ("wrn28x10", (3, 32), 100, 36_546_980),
        ("resnet50", (3, 32), 1000, 25_557_032),
    ],
)
def test_parameter_counts(name, shape, classes, parameters):
    with torch.device("meta"):
        model = ARCHITECTURES[name].make(*shape, classes, nowhere)
    assert sum(p.numel() for p in model.parameters()) == parameters
    assert model.head.out_features == classes
    images = torch.zeros(2, shape[0], shape[1], shape[1], device="meta")
    assert model(images).shape == (2, classes)


@pytest.mark.parametrize("name", ["cnn", "lenet", "resnet20", "preresnet110"])
def test_weights_depend_on_the_generator_alone(name):
    before = torch.get_rng_state()
    first, again, other = made(name, 3, 32, 10), made(name, 3, 32, 10), made(name, 3, 32, 10, seed=1)
    assert torch.equal(before, torch.get_rng_state())
    for a, b in zip(first.state_dict().values(), again.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    assert any(not torch.equal(a, b) for a, b in zip(first.parameters(), other.parameters(), strict=True))
    assert all(torch.isfinite(value).all() for value in first.state_dict().values())


def test_initial_distributions():
    generator = torch.Generator().manual_seed(0)
    linear = torch.nn.Linear(400, 300)
    with torch.no_grad():
        torch_default(linear, generator)
    assert linear.weight.detach().abs().max() <= 1 / 20
    assert linear.weight.detach().std() == pytest.approx(1 / 20 / math.sqrt(3), rel=0.02)
    conv = torch.nn.Conv2d(32, 64, 3)
    with torch.no_grad():
        he_fan_out(conv, generator)
    assert conv.weight.detach().std() == pytest.approx(math.sqrt(2 / (9 * 64)), rel=0.02)
    assert conv.bias.detach().abs().max() == 0
