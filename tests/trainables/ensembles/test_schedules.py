"""Learning rates, plans, augmentation, and the search space."""

import random

import pytest
import torch

from raybayes import catalog
from raybayes.errors import SpecError
from raybayes.space import Choice, Int
from trainables.ensembles import PROJECT, Config, max_steps
from trainables.ensembles.data.augmentation import augmentation, flip, shift
from trainables.ensembles.recipes import RECIPES, paper
from trainables.ensembles.run.plan import plan, pretrain_epochs
from trainables.ensembles.run.schedules import cosine_restarts, decay30, step_decay


def test_step_has_the_papers_corners():
    assert [step_decay(t) for t in (0, 0.3, 0.5)] == [1, 1, 1]
    assert step_decay(0.7) == pytest.approx(1 - 0.99 * 0.5)
    assert step_decay(0.9) == pytest.approx(0.01)
    assert step_decay(0.97) == 0.01
    assert step_decay(0.95, ratio=0.1) == 0.1


def test_decay_by_thirties_is_the_schedule_of_imagenet():
    assert [decay30(epoch) for epoch in (0, 29.9, 30, 60, 129)] == pytest.approx([1, 1, 0.1, 0.01, 1e-4])


def test_cosine_restarts_at_each_cycle():
    assert cosine_restarts(0, 5, 0.2) == cosine_restarts(5, 5, 0.2) == 0.2
    assert cosine_restarts(2.5, 5, 0.2) == pytest.approx(0.1)
    assert 0 < cosine_restarts(4.99, 5, 0.2) < 1e-5
    rates = [cosine_restarts(5 + i / 10, 5, 0.2) for i in range(50)]
    assert rates == sorted(rates, reverse=True)


def test_plans_count_steps_members_and_cost():
    deep = plan(Config(members=3, epochs=7))
    assert (deep.runs, deep.steps, deep.members) == (3, 21, 3)
    assert [deep.cost_epochs(k) for k in range(3)] == [7, 14, 21]
    sse = plan(Config(method="snapshot", members=3, sse={"cycle_epochs": 4, "skip_cycles": 2}))
    assert sse.snapshots == (12, 16, 20)
    assert (sse.steps, sse.members) == (20, 3)
    assert [sse.members_before(step) for step in (0, 11, 12, 15, 16, 19, 20)] == [0, 0, 1, 1, 2, 2, 3]
    assert [sse.cost_epochs(k) for k in range(3)] == [12, 16, 20]
    shared = Config(budget_epochs=21, members=4)
    assert (plan(shared).runs, plan(shared).epochs) == (4, 5)
    shared = Config(method="snapshot", budget_epochs=21, members=4, sse={"skip_cycles": 1})
    assert plan(shared).snapshots == (8, 12, 16, 20)
    single = plan(Config(method="single", members=9))
    assert (single.steps, single.members) == (20, 1)
    seen = plan(Config(method="single", members=9, tta=True))
    assert (seen.steps, seen.members, seen.cost_epochs(8)) == (29, 9, 20)


def test_shift_moves_every_image_by_its_own_whole_pixels():
    images = torch.arange(6 * 2 * 5 * 4, dtype=torch.uint8).reshape(6, 2, 5, 4)
    moved = shift(images, 2, torch.Generator().manual_seed(0))
    corners = torch.randint(0, 5, (2, 6), generator=torch.Generator().manual_seed(0))
    for i in range(6):
        padded = torch.nn.functional.pad(images[i], (2, 2, 2, 2))
        top, left = corners[:, i]
        assert torch.equal(moved[i], padded[:, top : top + 5, left : left + 4])


def test_flip_mirrors_about_half():
    images = torch.rand(1000, 1, 2, 3)
    flipped = flip(images, torch.Generator().manual_seed(0))
    same = (flipped == images).all(dim=(1, 2, 3))
    assert torch.equal(flipped[~same], images[~same].flip(-1))
    assert 400 < int(same.sum()) < 600


def test_augmentation_by_name():
    images = torch.randint(0, 256, (4, 3, 32, 32), dtype=torch.uint8)
    assert torch.equal(augmentation("none")(images, torch.Generator()), images)
    assert augmentation("crop-flip")(images, torch.Generator()).shape == images.shape


def test_the_space_holds_the_default_configuration():
    space = catalog.load_space(PROJECT)
    assert space.outside(catalog.defaults(PROJECT)) is None
    for method in space["method"].values:
        assert set(space.active({"method": method})) <= set(space)


@pytest.mark.parametrize("name", ["SPACE", "NEWER", "PAPER", "BUDGET", "PARETO", "POST_HOC", "PAPER_SMALL"])
def test_every_configuration_of_a_space_can_run(name):
    space, rng = catalog.load_space(PROJECT, name), random.Random(0)
    for _ in range(300):
        values = {}
        for parameter in space:
            if space.is_active(parameter, values):
                values[parameter] = drawn(space[parameter], rng)
        assert max_steps(catalog.configure(PROJECT, values)) > 0  # a combination that cannot run would be refused here


def drawn(parameter, rng):
    if isinstance(parameter, Choice):
        return rng.choice(parameter.values)
    if isinstance(parameter, Int):
        return rng.choice([parameter.low, parameter.high, rng.randint(parameter.low, parameter.high)])
    return rng.choice([parameter.low, parameter.high, rng.uniform(parameter.low, parameter.high)])


def test_the_papers_recipes_are_configurations_of_its_space():
    space = catalog.load_space(PROJECT, "PAPER")
    assert len(RECIPES) == 2 * (4 * 9 - 2) + 6
    for arch, method, dataset in RECIPES:
        config = Config.model_validate(paper(arch, method, dataset))
        assert (config.arch, config.method) == (arch, method)
        assert config.members == (50 if dataset == "imagenet" else 100)
        assert config.dataset.startswith(dataset)
        assert space["method"].contains(method)


def test_recipes_say_what_the_paper_says():
    assert paper("vgg16bn", "fge")["fge"] == {"pretrain": 160 / 400, "cycle_epochs": 2, "max_lr": 0.01, "ratio": 0.05}
    assert pretrain_epochs(Config.model_validate(paper("wrn28x10", "fge"))) == 160
    assert pretrain_epochs(Config.model_validate(paper("wrn28x10", "swag"))) == 160
    assert paper("preresnet164", "snapshot")["sse"] == {"max_lr": 0.2, "cycle_epochs": 40, "momentum": 0.0}
    assert paper("preresnet110", "swag", "cifar100")["swag"]["lr"] == 0.05
    assert paper("preresnet110", "swag")["swag"]["lr"] == 0.01
    lows = plan(Config.model_validate(paper("resnet50", "fge", "imagenet"))).snapshots
    assert lows[:3] == (130, 132, 134)  # the first is the network of the first stage
    with pytest.raises(SpecError, match="no recipe for resnet50 with swag on imagenet; it has resnet50 with single"):
        paper("resnet50", "swag", "imagenet")
    with pytest.raises(SpecError, match=r"resnet20 with fge on cifar10; it has .*preresnet110 with fge on"):
        paper("resnet20", "fge")
