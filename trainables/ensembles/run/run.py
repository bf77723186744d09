"""An ordinary training run; every method is a variation of it.

A run is a fixed number of steps (see `plan`): epochs of training, then draws of members. All its randomness comes from
`ctx.rng` under names that contain the run, the purpose and the epoch. So a run is the same on any worker, and a resumed
run equals an uninterrupted one, although no generator's state is stored.
"""

from __future__ import annotations

import copy
import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from raybayes.clock import WALL
from raybayes.contract import Context, State
from trainables.ensembles.architectures.build import build
from trainables.ensembles.architectures.dropout import dropout_place, nowhere, set_noise
from trainables.ensembles.config import Config
from trainables.ensembles.data.augmentation import augmentation
from trainables.ensembles.data.images import ImageData, Split
from trainables.ensembles.data.pictures import Images
from trainables.ensembles.run.interface import Predictions
from trainables.ensembles.run.plan import plan, pretrain_epochs
from trainables.ensembles.run.schedules import SCHEDULES

TRAINING = ("init", "epoch", "noise", "langevin", "shuffles", "spread")  # purposes of the training's generators
PREDICT_BATCH, PREDICT_PIXELS = 1000, 10_000_000  # most images and pixels of one forward pass: bounds memory only


class Run:
    """One training run: SGD with the paper's schedule; one member, the network after the last epoch.

    Args:
        config: the configuration.
        data: the images, on the device.
        ctx: the trial's context; its device, rank, generators and collectives are used.
        index: the run's number among those of the plan, from 0.
    """

    def __init__(self, config: Config, data: ImageData, ctx: Context, index: int) -> None:
        self.config = config
        self.data = data
        self.ctx = ctx
        self.index = index
        self.plan = plan(config)
        self.first_stage = pretrain_epochs(config)
        self.lr_factor, self.wd_factor = self.spread()
        self.augment = augmentation(data.augmentation if config.augment else "none")
        self.model = self.fresh_model("init")
        self.optimizer = self.fresh_optimizer()
        self.spare: nn.Module | None = None
        self.joined: tuple[nn.Module, nn.Module] | None = None
        self.seconds = 0.0  # wall time of all steps

    # What a method may change.

    def learning_rate(self, epoch: float) -> float:
        """The learning rate at a time in epochs; the ordinary schedule is set once an epoch."""
        return self.config.lr * SCHEDULES[self.config.schedule](epoch, self.first_stage)

    def momentum(self) -> float:
        return self.config.momentum

    def loss(self, images: Tensor, labels: Tensor) -> Tensor:
        """Mean loss of a batch of augmented, normalised images."""
        return functional.cross_entropy(self.network()(images), labels)

    def before_epoch(self, epoch: int) -> None:
        """Called before the first batch of an epoch."""

    def before_update(self, epoch: int, rate: float) -> None:
        """Called between the gradient and the optimiser's step, with the learning rate of the step."""

    def after_update(self, epoch: int, batch: int, n_batches: int) -> None:
        """Called after each step of the optimiser."""

    def members_now(self, label: str) -> list[Predictions]:
        """The members that the network holds at the end of an epoch; `label` names their random draws."""
        return [self.predict(self.model, label)]

    def draw(self, k: int) -> Predictions:
        """Member k of those drawn after the training."""
        return self.predict(self.model, f"draw-{k}")

    def extra_state(self) -> State:
        """What a method stores besides the network and the optimiser: plain containers of tensors and numbers."""
        return {}

    def load_extra(self, state: State) -> None:
        """The inverse of `extra_state`."""

    # What all methods share.

    def advance(self, step: int) -> list[Predictions]:
        """Do step number `step` of the plan; return the members that it completed."""
        began = WALL.elapsed()
        members = self._advance(step)
        self.seconds += WALL.elapsed() - began
        return members

    def _advance(self, step: int) -> list[Predictions]:
        if step >= self.plan.epochs:
            return [self.draw(step - self.plan.epochs)]
        self.train_epoch(step)
        return self.members_now(f"epoch-{step}") if step + 1 in self.plan.snapshots else []

    def current(self, split: str) -> Tensor:
        """Log-probabilities of the network as it is, (n, classes), for reports before the first member."""
        return self.log_probabilities(self.model, self.data.scored[split].images)

    def rng(self, name: str) -> torch.Generator:
        """A fresh CPU generator for one purpose of this run; the purpose is the first word of the name.

        With `training_seed` the training draws the same numbers in every trial; later draws still differ.
        """
        shared = self.config.training_seed
        if shared is not None and name.split("-")[0] in TRAINING:
            digest = hashlib.sha256(f"{shared}/run-{self.index}/{name}".encode()).digest()
            return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)
        return self.ctx.rng(f"run-{self.index}/{name}")

    def device_rng(self, name: str) -> torch.Generator:
        """A fresh generator on the device of the run, seeded from `rng(name)`."""
        seed = int(torch.randint(2**62, (1,), generator=self.rng(name)))
        return torch.Generator(self.ctx.device).manual_seed(seed)

    def spread(self) -> tuple[float, float]:
        """Factors of the learning rate and the weight decay of this run, log-uniform in [1/spread, spread]."""
        if self.config.spread == 1:
            return 1.0, 1.0
        low, high = 2 * torch.rand(2, generator=self.rng("spread"), dtype=torch.float64) - 1
        return self.config.spread ** float(low), self.config.spread ** float(high)

    def fresh_model(self, name: str) -> nn.Module:
        """A freshly initialised network on the device."""
        pixels = self.data.pixels
        place = dropout_place(self.config.dropout) if self.config.uses_dropout else nowhere
        model = build(
            self.config.arch, pixels.channels, pixels.height, self.data.classes, self.rng(name), place, self.convert
        )
        return model.to(self.ctx.device)

    def convert(self, model: nn.Module) -> None:
        """Change the layers of a network that has no weights yet; they are initialised afterwards."""

    def network(self) -> nn.Module:
        """The network that a training step calls: in DistributedDataParallel if workers share the images."""
        if self.config.share == "members":
            return self.model
        if self.joined is None or self.joined[0] is not self.model:  # cold restarts change the network
            self.joined = self.model, self.ctx.wrap(self.model)
        return self.joined[1]

    def twin(self) -> nn.Module:
        """A second network with the weights and statistics of this one, free to be changed; one twin at a time."""
        if self.spare is None:
            self.spare = self.fresh_model("init")
        self.spare.load_state_dict(self.model.state_dict())
        return self.spare

    def fresh_optimizer(self) -> torch.optim.Optimizer:
        """A fresh optimiser without momentum history; every step sets its learning rate."""
        return torch.optim.SGD(
            self.trained_parameters(), lr=1.0, momentum=self.momentum(), weight_decay=self.wd_factor * self.config.wd
        )

    def trained_parameters(self) -> list[Any]:
        """Parameters, or groups of them, for the optimiser."""
        return list(self.model.parameters())

    def batches(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """One pass over the training images in random order: (images, labels), normalised and augmented.

        The batches differ by at most one image, so that none is too small for batch statistics.
        """
        for images, labels in self.seen_batches(epoch):
            yield self.data.normalise(images), labels

    def seen_batches(self, epoch: int) -> Iterator[tuple[Images, Tensor]]:
        """`batches` as uint8 images; images in files are not decoded yet."""
        train, rng = self.data.train, self.rng(f"epoch-{epoch}")
        for rows in self.rows(rng):
            yield self.augment(train.images[rows], rng), train.labels[rows]

    def shares(self, epoch: int) -> Iterator[tuple[Tensor, Tensor, float]]:
        """This worker's part of every batch: (images, labels, weight of its loss).

        It is the whole batch unless workers share the images: then the mean of weight · loss over the workers is the
        batch's loss.
        """
        if self.config.share == "members":
            yield from ((images, labels, 1.0) for images, labels in self.batches(epoch))
            return
        rank, size = self.ctx.rank, self.ctx.world_size
        for images, labels in self.seen_batches(epoch):
            mine = slice(len(labels) * rank // size, len(labels) * (rank + 1) // size)
            yield self.data.normalise(images[mine]), labels[mine], size * len(labels[mine]) / len(labels)

    def rows(self, rng: torch.Generator) -> list[Tensor]:
        """Row numbers of the batches of one epoch, on the device; the first draw from the epoch's generator."""
        train = self.data.train
        order = torch.randperm(len(train), generator=rng)
        return [rows.to(train.images.device) for rows in order.tensor_split(-(-len(order) // self.config.batch))]

    def train_epoch(self, epoch: int) -> None:
        """One pass of SGD over the training images."""
        self.before_epoch(epoch)
        self.model.train()
        own = f"-rank-{self.ctx.rank}" if self.config.share == "images" else ""  # other images, other dropout
        set_noise(self.model, self.device_rng(f"noise-{epoch}{own}"))
        n_batches = -(-len(self.data.train) // self.config.batch)
        for i, (images, labels, weight) in enumerate(self.shares(epoch)):
            time = epoch + i / n_batches
            rate = self.lr_factor * self.learning_rate(time)
            for group in self.optimizer.param_groups:
                group["lr"] = rate
            self.model.zero_grad()
            (weight * self.loss(images, labels)).backward()
            self.before_update(epoch, rate)
            self.optimizer.step()
            self.after_update(epoch, i, n_batches)

    def predict(self, model: nn.Module, label: str) -> Predictions:
        """A member's predictions on all predicted splits, with `tta` through a fresh draw of the augmentation."""
        return {
            name: self.log_probabilities(model, self.seen(split, f"{label}/{name}"))
            for name, split in self.data.predicted.items()
        }

    def seen(self, split: Split, label: str) -> Images:
        """The images that a member sees: unchanged, or with `tta` through one draw of the augmentation."""
        return self.augment(split.images, self.rng(f"tta/{label}")) if self.config.tta else split.images

    def log_probabilities(self, model: nn.Module, images: Images) -> Tensor:
        """(n, classes) float32 log-probabilities on the CPU; the model in evaluation mode.

        Workers that share the images predict every world_size-th part each; all of them get the whole.
        """
        model.eval()
        rank, size = (self.ctx.rank, self.ctx.world_size) if self.config.share == "images" else (0, 1)
        with torch.no_grad():
            mine = [
                functional.log_softmax(model(self.data.normalise(part)), dim=1).cpu()
                for part in passes(images)[rank::size]
            ]
        if size == 1:
            return torch.cat(mine)
        found = itertools.zip_longest(*self.ctx.gather(mine))
        return torch.cat([part for turn in found for part in turn if part is not None])

    def state(self) -> State:
        """Everything that the rest of the run depends on, as copies in plain containers."""
        return {
            "model": copied(dict(self.model.state_dict())),
            "optimizer": copied(self.optimizer.state_dict()),
            "extra": copied(self.extra_state()),
            "seconds": self.seconds,
        }

    def load(self, state: State) -> None:
        """The inverse of `state`."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.seconds = state["seconds"]
        self.load_extra(state["extra"])


def passes(images: Images) -> Sequence[Images]:
    """The images in parts that fit into the memory of a forward pass without gradients."""
    return images.split(max(1, min(PREDICT_BATCH, PREDICT_PIXELS // (images.shape[2] * images.shape[3]))))


def copied(value: Any) -> Any:
    """Nested containers with every tensor copied to the CPU."""
    if isinstance(value, Tensor):
        return value.detach().cpu().clone()
    if isinstance(value, Mapping):
        return {key: copied(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(copied(item) for item in value)
    return copy.deepcopy(value)
