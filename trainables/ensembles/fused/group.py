"""The training runs that a worker goes through at the same time: one of them, or several side by side."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from raybayes.clock import WALL
from trainables.ensembles.augmentation import joint
from trainables.ensembles.fused.forward import Engine
from trainables.ensembles.fused.weights import SideBySide
from trainables.ensembles.methods import Predictions, Run
from trainables.ensembles.methods.run import passes


class Turn(NamedTuple):
    """A run and the number of its next step."""

    run: Run
    step: int


class Group:
    """Trains runs at the same time, which may be those of several trials with the same images, network and batch.

    Runs may come and go between two calls, and be at different steps.

    Args:
        engine: how they are trained.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.networks: list[tuple[nn.Module, torch.optim.Optimizer]] = []  # those in `together`
        self.together: SideBySide | None = None

    def advance(self, turns: Sequence[Turn]) -> list[list[Predictions]]:
        """Do the next step of every run; return the members that each run completed."""
        trained = [turn for turn in turns if self.engine != "sequential" and turn.step < turn.run.plan.epochs]
        found = iter(self.side_by_side(trained) if trained else [])
        return [next(found) if turn in trained else turn.run.advance(turn.step) for turn in turns]

    def side_by_side(self, turns: Sequence[Turn]) -> list[list[Predictions]]:
        """`advance` for the epochs of training; their time is shared equally."""
        began = WALL.elapsed()
        self.train_epoch(turns)
        members = self.members(turns)
        share = (WALL.elapsed() - began) / len(turns)
        for run, _ in turns:
            run.seconds += share
        return members

    def stacked(self, runs: Sequence[Run]) -> SideBySide:
        """The networks of the runs in one block of memory; the one of the epoch before where nothing has changed."""
        networks = [(run.model, run.optimizer) for run in runs]
        if self.together is None or networks != self.networks:
            models, optimizers = zip(*networks, strict=True)
            self.together = SideBySide(models, optimizers, self.engine, [run.lr_factor for run in runs])
            self.networks = networks
        return self.together

    def train_epoch(self, turns: Sequence[Turn]) -> None:
        """One pass of SGD of all runs, each over its own order of the images, as `Run.train_epoch` does it."""
        first = turns[0].run
        train, kind = first.data.train, first.data.augmentation if first.config.augment else "none"
        for run, epoch in turns:
            run.before_epoch(epoch)  # may change its network or its optimiser
        together = self.stacked([run for run, _ in turns])
        generators = [run.rng(f"epoch-{epoch}") for run, epoch in turns]
        orders = [run.rows(generator) for (run, _), generator in zip(turns, generators, strict=True)]
        n_batches = len(orders[0])
        for i, rows in enumerate(zip(*orders, strict=True)):
            picked = torch.cat(rows)
            images = first.data.normalise(joint(kind, train.images[picked], generators))
            rates = [run.learning_rate(epoch + i / n_batches) for run, epoch in turns]
            shape = (len(turns), -1)
            together.step(images.unflatten(0, shape), train.labels[picked].view(shape), rates)
            for run, epoch in turns:
                run.after_update(epoch, i, n_batches)

    def members(self, turns: Sequence[Turn]) -> list[list[Predictions]]:
        """The members that each run has completed; those that see the images as they are in one pass over them."""
        done = [run for run, step in turns if step + 1 in run.plan.snapshots]
        plain = [run for run in done if not run.config.tta]  # else every member sees its own images
        found: dict[Run, Predictions] = {run: {} for run in plain}
        for name, split in turns[0].run.data.predicted.items() if plain else ():
            for run, lp in zip(plain, log_probabilities(plain, split.images), strict=True):
                found[run][name] = lp
        return [
            [] if run not in done else [found[run]] if run in found else run.members_now(f"epoch-{step}")
            for run, step in turns
        ]


def log_probabilities(runs: Sequence[Run], images: Tensor) -> list[Tensor]:
    """(n, classes) float32 log-probabilities of every run's network on the CPU."""
    parts: list[list[Tensor]] = [[] for _ in runs]
    with torch.no_grad():
        for part in passes(images):
            batch = runs[0].data.normalise(part)
            for run, mine in zip(runs, parts, strict=True):
                mine.append(functional.log_softmax(run.model.eval()(batch), dim=1).cpu())
    return [torch.cat(mine) for mine in parts]
