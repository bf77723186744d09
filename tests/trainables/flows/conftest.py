"""Flows with weights that are neither zero nor tame, and contexts without an engine."""

import logging

import pytest
import torch

from raybayes.seeds import derive
from trainables.flows.config import Config
from trainables.flows.models.build import build_flow

# Small flows of every kind, by what they are for: (configuration, shape of an example, classes).
FLOWS = {
    "toy": ({}, (2,), 2),
    "toy, odd dimensions": ({"preset": "vectors", "dataset": "mine.parquet", "head": {"levels": 2}}, (5,), 3),
    "toy, identity": ({"trunk": {"kind": "identity"}}, (2,), 2),
    "toy, dense mixing": ({"trunk": {"mix": "dense", "start": "orthogonal"}}, (2,), 3),
    "toy, sigmoid": ({"bound": "sigmoid"}, (2,), 2),
    "toy, class shift": ({"head": {"kind": "shift"}}, (2,), 3),
    "pca": ({"preset": "pca32", "trunk": {"width": 16}, "head": {"width": 16, "levels": 2}}, (32,), 10),
    "masked glow": (
        {"preset": "cpu", "trunk": {"width": 8}, "head": {"width": 8, "blocks": 1}},
        (1, 12, 12),
        3,
    ),
    "masked glow, sigmoid, one level": (
        {
            "preset": "cpu",
            "dataset": "mine.parquet",
            "trunk": {"width": 4, "levels": 1, "steps": 1},
            "head": {"width": 8},
            "bound": "sigmoid",
        },
        (2, 5, 5),
        2,
    ),
    "glow": (
        {"preset": "glow", "trunk": {"width": 8, "steps": 2}, "head": {"width": 8, "steps": 1}},
        (3, 8, 8),
        4,
    ),
    "pictures, identity": ({"preset": "cpu", "trunk": {"kind": "identity"}, "head": {"width": 8}}, (1, 4, 4), 2),
}


def _perturbed(name, dtype=torch.float64, seed=0, noise=0.02, before=False):
    """A flow of FLOWS with all weights moved by N(0, noise^2), and examples for it.

    Args:
        before: move the weights before ActNorms are set on the examples, so that values keep the size that they have
            in training. Moved afterwards by 0.1, a chain of twenty couplings multiplies them by a hundred thousand.
    """
    values, shape, classes = FLOWS[name]
    generator = torch.Generator().manual_seed(seed)
    flow = build_flow(Config(**values), shape, classes, generator).to(dtype)
    x = torch.rand(48, *shape, generator=generator, dtype=dtype)
    if len(shape) == 1:
        x = 3 * x - 1.5
    if not before:
        flow.initialise(x)
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter.add_(noise * torch.randn(parameter.shape, generator=generator, dtype=dtype))
    flow.initialise(x)
    return flow.eval(), x


@pytest.fixture(params=FLOWS)
def flow_name(request):
    """The name of every flow of this folder, one after the other."""
    return request.param


@pytest.fixture(scope="session")
def perturbed():
    """`perturbed(name, dtype, seed, noise, before)`: a flow of this folder with examples."""
    return _perturbed


class Alone:
    """The context of one worker without an engine."""

    rank, world_size, device = 0, 1, torch.device("cpu")
    log = logging.getLogger("flows")

    def __init__(self, seed=0):
        self.seed = seed

    def rng(self, name):
        return torch.Generator().manual_seed(derive(self.seed, name))

    def all_reduce(self, tensor):
        return tensor

    def gather(self, value):
        return [value]


@pytest.fixture
def alone():
    return Alone()


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
