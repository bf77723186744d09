"""Members trained side by side equal members trained one after the other, to rounding."""

import copy
import logging
import re

import numpy as np
import pytest
import torch
from torch.nn import functional

from raybayes import data as raybayes_data
from trainables.ensembles import Config, train
from trainables.ensembles.architectures.build import build
from trainables.ensembles.config.rules import FUSED
from trainables.ensembles.data.augmentation import augmentation, joint
from trainables.ensembles.data.images import prepare
from trainables.ensembles.fused.forward import forward_of
from trainables.ensembles.fused.group import Group, StackedStep
from trainables.ensembles.fused.timing import ENGINES, fastest, measure_steps
from trainables.ensembles.fused.weights import SideBySide
from trainables.ensembles.methods.registry import METHODS
from trainables.ensembles.run.plan import plan

SMALL = {"train_images": 120, "test_images": 40, "validation": 0.3, "epochs": 3, "members": 3, "batch": 32}


class Quiet:
    device, rank, world_size, log = torch.device("cpu"), 0, 1, logging.getLogger("raybayes.test")

    def rng(self, name):
        return torch.Generator().manual_seed(sum(map(ord, name)))

    def gather(self, value):
        return [value]


def networks(arch, count, dtype):
    return [
        build(arch, 1, 28, 10, torch.Generator().manual_seed(seed)).to(dtype).train() for seed in range(count)
    ]  # fmt: skip


def sgd(models, decays, momenta):
    return [
        torch.optim.SGD(model.parameters(), lr=1.0, momentum=momentum, weight_decay=decay)
        for model, decay, momentum in zip(models, decays, momenta, strict=True)
    ]


@pytest.mark.parametrize("engine", ["vmap", "grouped"])
@pytest.mark.parametrize("arch", FUSED)
@pytest.mark.parametrize(
    ("momenta", "factors", "decays"),
    [
        ([0.9] * 3, [0.5, 1.0, 3.0], [0.0, 1e-3, 0.1]),
        ([0.0] * 3, [1.0] * 3, [5e-4] * 3),
        ([0.9, 0.0, 0.5], [1.0] * 3, [0.0, 5e-4, 5e-4]),
    ],
)
@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-4)])
def test_steps_equal_those_of_torch(engine, arch, momenta, factors, decays, dtype, tolerance):
    generator = torch.Generator().manual_seed(0)
    alone = networks(arch, 3, dtype)
    joined = copy.deepcopy(alone)
    optimizers, histories = sgd(alone, decays, momenta), sgd(joined, decays, momenta)
    together = SideBySide(joined, histories, engine, factors)
    for step in range(4):
        images = torch.randn(3, 6, 1, 28, 28, generator=generator, dtype=dtype)
        labels = torch.randint(10, (3, 6), generator=generator)
        rates = [0.05 / (step + 1) * (1 + (step % 2) * own) for own in range(3)]  # equal, then not, and so on
        for model, optimizer, factor, rate, x, y in zip(alone, optimizers, factors, rates, images, labels, strict=True):
            optimizer.param_groups[0]["lr"] = factor * rate
            optimizer.zero_grad()
            functional.cross_entropy(model(x), y).backward()
            optimizer.step()
        together.step(images, labels, rates)
    for one, other, optimizer, history, momentum in zip(alone, joined, optimizers, histories, momenta, strict=True):
        for p, q in zip(one.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(q.detach(), p.detach(), rtol=0, atol=tolerance)
            if momentum:
                buffers = history.state[q]["momentum_buffer"], optimizer.state[p]["momentum_buffer"]
                torch.testing.assert_close(*buffers, rtol=0, atol=10 * tolerance)


def test_a_layer_without_a_grouped_form_is_named():
    model = build("cnn", 1, 28, 10, torch.Generator().manual_seed(0))
    model.body.insert(1, torch.nn.BatchNorm2d(8))
    with pytest.raises(TypeError, match="the engine grouped does not support BatchNorm2d; use the engine vmap"):
        forward_of(model, "grouped")


@pytest.mark.parametrize("kind", ["none", "shift", "crop-flip"])
def test_joint_augmentation_is_that_of_each_batch(kind):
    images = torch.randint(0, 255, (12, 3, 8, 8), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    seeds = (1, 2, 3)
    whole = joint(kind, images, [torch.Generator().manual_seed(seed) for seed in seeds])
    parts = [
        augmentation(kind)(part, torch.Generator().manual_seed(seed))
        for part, seed in zip(images.split(4), seeds, strict=True)
    ]
    assert torch.equal(whole, torch.cat(parts))


@pytest.fixture(scope="module")
def ways(run_in_memory):
    """Runs of every engine with members that differ in learning rate and weight decay, made once."""
    done: dict = {}

    def of(engine, **values):
        key = engine, *sorted(values.items())
        if key not in done:
            config = Config.model_validate(SMALL | {"engine": engine, "spread": 2.0} | values)
            done[key] = config, run_in_memory(train, config)
        return done[key]

    return of


@pytest.mark.parametrize("arch", FUSED)
@pytest.mark.parametrize("engine", ["vmap", "grouped"])
def test_whole_runs_equal_sequential_ones(engine, arch, ways):
    (_, reference), (config, found) = ways("sequential", arch=arch), ways(engine, arch=arch)
    assert len(found.reports) == plan(config).steps == len(reference.reports)
    assert set(found.tables) == set(reference.tables)
    for name, table in reference.tables.items():
        if name.startswith("predictions/"):
            lps = [np.array(t["lp"].to_pylist()) for t in (found.tables[name], table)]
            np.testing.assert_allclose(*lps, atol=2e-4)
            assert found.tables[name]["target"] == table["target"]
    assert found.reports[-1]["cll"] == pytest.approx(reference.reports[-1]["cll"], abs=1e-4)
    with_members = [report["members"] > 0 for report in found.reports]
    assert with_members.index(True) + 1 == plan(config).first_member == 2 * 3 + 1


def test_members_differ_by_their_rates(ways, run_in_memory):
    even = run_in_memory(train, Config.model_validate(SMALL))
    spread = ways("sequential", arch="cnn")[1]
    assert even.tables["predictions/val-member-001"]["lp"] != spread.tables["predictions/val-member-001"]["lp"]
    config = Config.model_validate(SMALL | {"spread": 4.0})
    data = prepare(config, raybayes_data.load(config.dataset), torch.device("cpu"))
    factors = [METHODS["deep_ensemble"](config, data, Quiet(), index).lr_factor for index in range(20)]
    assert len(set(factors)) == 20
    assert all(1 / 4 <= factor <= 4 for factor in factors)
    assert min(factors) < 1 < max(factors)


@pytest.mark.parametrize("cut", [1, 4, 6])
def test_resumed_is_bit_for_bit_also_inside_a_round(cut, ways, run_in_memory):
    config, reference = ways("grouped", arch="cnn")
    first = run_in_memory(train, config, stop_at=cut)
    second = run_in_memory(train, config, saved=first.saved)
    assert first.reports + second.reports == reference.reports
    tables = first.tables | second.tables
    assert {n: t.to_pydict() for n, t in tables.items()} == {n: t.to_pydict() for n, t in reference.tables.items()}


@pytest.mark.parametrize(("before", "after"), [(2, 2), (1, 2), (2, 1)])
def test_workers_share_the_members(before, after, ways, run_in_memory):
    config, reference = ways("grouped", arch="cnn")
    first = run_in_memory(train, config, workers=before, stop_at=4)
    second = run_in_memory(train, config, workers=after, saved=first.saved)
    tables = first.tables | second.tables
    for name in reference.tables:
        if name.startswith("predictions/"):
            lps = [np.array(t[name]["lp"].to_pylist()) for t in (tables, reference.tables)]
            np.testing.assert_allclose(*lps, atol=2e-4)


def test_prediction_is_one_pass_over_the_images(monkeypatch):
    config = Config.model_validate(SMALL | {"engine": "vmap"})
    data = prepare(config, raybayes_data.load(config.dataset), torch.device("cpu"))
    runs = [METHODS["deep_ensemble"](config, data, Quiet(), index) for index in range(3)]
    alone = [run.predict(run.model, "x") for run in runs]
    passes = []
    normalise = type(data).normalise

    def counted(self, batch):
        passes.append(len(batch))
        return normalise(self, batch)

    monkeypatch.setattr(type(data), "normalise", counted)
    members = Group("vmap").members([StackedStep(run, config.epochs - 1) for run in runs])
    assert passes == [len(split) for split in data.predicted.values()]
    for expected, (found,) in zip(alone, members, strict=True):
        assert all(torch.equal(found[name], lp) for name, lp in expected.items())


def test_the_fastest_engine_is_chosen_and_ties_go_to_sequential():
    assert fastest({"sequential": 1.0, "vmap": 0.5, "grouped": 0.4}) == "grouped"
    assert fastest({"sequential": 1.0, "vmap": 1.0, "grouped": 2.0}) == "sequential"
    assert fastest({"sequential": 0.9, "vmap": 1.0, "grouped": 2.0}) == "sequential"


def test_timing_takes_turns_and_changes_nothing():
    config = Config.model_validate(SMALL)
    data = prepare(config, raybayes_data.load(config.dataset), torch.device("cpu"))

    class Steps:  # every look at the clock is a second later
        now = 0.0

        def elapsed(self):
            self.now += 1.0
            return self.now

    assert measure_steps(config, data, Quiet(), 2, Steps()) == dict.fromkeys(ENGINES, 1.0)
    assert set(measure_steps(config, data, Quiet(), 2)) == set(ENGINES)


def test_auto_trains_the_same_members_and_keeps_its_choice(ways, run_in_memory, caplog):
    caplog.set_level(logging.INFO)
    config, found = ways("auto", arch="cnn")
    _, reference = ways("sequential", arch="cnn")
    assert re.search(r"engine auto: (sequential|vmap|grouped) \(a step of 3 networks: sequential .* ms", caplog.text)
    assert found.reports[-1]["cll"] == pytest.approx(reference.reports[-1]["cll"], abs=1e-4)
    stopped = run_in_memory(train, config, stop_at=3)
    resumed = run_in_memory(train, config, saved=stopped.saved)
    assert stopped.reports + resumed.reports == found.reports
    run_in_memory(train, Config.model_validate(SMALL | {"engine": "auto", "method": "snapshot"}), stop_at=1)
    assert "engine auto: snapshot with cnn trains one run after the other" in caplog.text


IMPOSSIBLE = [
    ({"engine": "vmap", "method": "swag"}, "engine = vmap trains the members of a deep_ensemble at once, but method ="),
    ({"engine": "grouped", "arch": "resnet20", "dataset": "cifar10-sample"}, "does not support arch = resnet20"),
    ({"engine": "grouped", "dropout": {"always": True}}, "cannot train with dropout, but dropout.always = true"),
    ({"spread": 2.0, "method": "vi"}, "spread = 2 applies to the members of a deep_ensemble, but method = vi"),
]


@pytest.mark.parametrize(("values", "sentence"), IMPOSSIBLE, ids=[sentence for _, sentence in IMPOSSIBLE])
def test_what_cannot_be_trained_side_by_side_is_refused(values, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        Config.model_validate(values)
