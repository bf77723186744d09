"""The training runs that a worker advances at the same time: one of them, or several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from raybayes.clock import WALL
from trainables.ensembles.data.augmentation import joint
from trainables.ensembles.data.pictures import Images, require_decoded
from trainables.ensembles.fused.forward import Engine
from trainables.ensembles.fused.weights import SideBySide
from trainables.ensembles.run.interface import Predictions, TrainingRun
from trainables.ensembles.run.run import Run, passes


class RunStep(NamedTuple):
    """A run and the number of its next step."""

    run: TrainingRun
    step: int


class StackedStep(NamedTuple):
    """The same for a run whose network is trained side by side with others."""

    run: Run
    step: int


class Group:
    """Trains runs at the same time; they may belong to several trials with the same images, network and batch.

    Between two calls runs may join, leave, and be at different steps.

    Args:
        engine: how they are trained.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.networks: list[tuple[nn.Module, torch.optim.Optimizer]] = []  # those in `stack`
        self.stack: SideBySide | None = None

    def advance(self, steps: Sequence[RunStep]) -> list[list[Predictions]]:
        """Do the next step of every run; return the members that each run completed."""
        stacked = {i: step for i, each in enumerate(steps) if (step := self._stackable(each)) is not None}
        side_by_side = iter(self.side_by_side(list(stacked.values())) if stacked else [])
        return [next(side_by_side) if i in stacked else each.run.advance(each.step) for i, each in enumerate(steps)]

    def _stackable(self, each: RunStep) -> StackedStep | None:
        """The step, if it is an epoch of training that this engine does side by side with others."""
        if self.engine == "sequential" or not isinstance(each.run, Run) or each.step >= each.run.plan.epochs:
            return None
        return StackedStep(each.run, each.step)

    def side_by_side(self, steps: Sequence[StackedStep]) -> list[list[Predictions]]:
        """`advance` for epochs of training; the runs share the elapsed time equally."""
        began = WALL.elapsed()
        self.train_epoch(steps)
        members = self.members(steps)
        share = (WALL.elapsed() - began) / len(steps)
        for run, _ in steps:
            run.seconds += share
        return members

    def stacked(self, runs: Sequence[Run]) -> SideBySide:
        """The networks of the runs in one block of memory; the previous epoch's block if nothing has changed."""
        networks = [(run.model, run.optimizer) for run in runs]
        if self.stack is None or networks != self.networks:
            models, optimizers = zip(*networks, strict=True)
            self.stack = SideBySide(models, optimizers, self.engine, [run.lr_factor for run in runs])
            self.networks = networks
        return self.stack

    def train_epoch(self, steps: Sequence[StackedStep]) -> None:
        """One pass of SGD of all runs, each over its own order of the images, as in `Run.train_epoch`."""
        first = steps[0].run
        train, kind = first.data.train, first.data.augmentation if first.config.augment else "none"
        all_images = require_decoded(train.images)
        for run, epoch in steps:
            run.before_epoch(epoch)  # may change its network or its optimiser
        stack = self.stacked([run for run, _ in steps])
        generators = [run.rng(f"epoch-{epoch}") for run, epoch in steps]
        orders = [run.rows(generator) for (run, _), generator in zip(steps, generators, strict=True)]
        n_batches = len(orders[0])
        for i, rows in enumerate(zip(*orders, strict=True)):
            picked = torch.cat(rows)
            images = first.data.normalise(joint(kind, all_images[picked], generators))
            rates = [run.learning_rate(epoch + i / n_batches) for run, epoch in steps]
            shape = (len(steps), -1)
            stack.step(images.unflatten(0, shape), train.labels[picked].view(shape), rates)
            for run, epoch in steps:
                run.after_update(epoch, i, n_batches)

    def members(self, steps: Sequence[StackedStep]) -> list[list[Predictions]]:
        """The members that each run has completed; without test-time augmentation they share one pass of the images."""
        done = [run for run, step in steps if step + 1 in run.plan.snapshots]
        plain = [run for run in done if not run.config.tta]  # with it every member predicts its own images
        found: dict[Run, Predictions] = {run: {} for run in plain}
        for name, split in steps[0].run.data.predicted.items() if plain else ():
            for run, lp in zip(plain, log_probabilities(plain, split.images), strict=True):
                found[run][name] = lp
        return [
            [] if run not in done else [found[run]] if run in found else run.members_now(f"epoch-{step}")
            for run, step in steps
        ]


def log_probabilities(runs: Sequence[Run], images: Images) -> list[Tensor]:
    """(n, classes) float32 log-probabilities of every run's network on the CPU."""
    parts: list[list[Tensor]] = [[] for _ in runs]
    with torch.no_grad():
        for part in passes(images):
            batch = runs[0].data.normalise(part)
            for run, mine in zip(runs, parts, strict=True):
                mine.append(functional.log_softmax(run.model.eval()(batch), dim=1).cpu())
    return [torch.cat(mine) for mine in parts]
