"""The training runs that a worker goes through at the same time: one of them, or several members side by side."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from raybayes.clock import WALL
from trainables.ensembles.augmentation import joint
from trainables.ensembles.fused.forward import Engine
from trainables.ensembles.fused.weights import SideBySide
from trainables.ensembles.methods import Predictions, Run
from trainables.ensembles.methods.run import passes


class Group:
    """Runs that make the same step at the same time.

    Args:
        runs: one run under the engine "sequential", else several that are all at the same step.
        engine: how they are trained.
    """

    def __init__(self, runs: Sequence[Run], engine: Engine) -> None:
        self.runs = list(runs)
        self.together = None if engine == "sequential" else self._stacked(engine)

    def _stacked(self, engine: Engine) -> SideBySide:
        models, optimizers = [run.model for run in self.runs], [run.optimizer for run in self.runs]
        return SideBySide(models, optimizers, engine, [run.lr_factor for run in self.runs])

    def advance(self, step: int) -> list[list[Predictions]]:
        """Do step number `step` of every run; return the members that each run completed."""
        if self.together is None:
            return [run.advance(step) for run in self.runs]
        began = WALL.elapsed()
        self.train_epoch(step)
        members = self.members(step)
        for run in self.runs:
            run.seconds += (WALL.elapsed() - began) / len(self.runs)
        return members

    def train_epoch(self, epoch: int) -> None:
        """One pass of SGD of all runs, each over its own order of the images, as `Run.train_epoch` does it."""
        assert self.together is not None
        first = self.runs[0]
        train, kind = first.data.train, first.data.augmentation if first.config.augment else "none"
        generators = [run.rng(f"epoch-{epoch}") for run in self.runs]
        orders = [run.rows(generator) for run, generator in zip(self.runs, generators, strict=True)]
        n_batches = len(orders[0])
        for i, rows in enumerate(zip(*orders, strict=True)):
            picked = torch.cat(rows)
            images = first.data.normalise(joint(kind, train.images[picked], generators))
            time = epoch + i / n_batches
            shape = (len(self.runs), -1)
            rate = first.learning_rate(time)
            self.together.step(images.unflatten(0, shape), train.labels[picked].view(shape), rate)

    def members(self, step: int) -> list[list[Predictions]]:
        """The members that each run has completed with this step; without augmentation in one pass over the images."""
        first = self.runs[0]
        if step + 1 not in first.plan.snapshots:
            return [[] for _ in self.runs]
        if first.config.tta:  # every member sees its own images
            return [run.members_now(f"epoch-{step}") for run in self.runs]
        found: list[Predictions] = [{} for _ in self.runs]
        for name, split in first.data.predicted.items():
            for prediction, lp in zip(found, self.log_probabilities(split.images), strict=True):
                prediction[name] = lp
        return [[prediction] for prediction in found]

    def log_probabilities(self, images: Tensor) -> list[Tensor]:
        """(n, classes) float32 log-probabilities of every network on the CPU."""
        parts: list[list[Tensor]] = [[] for _ in self.runs]
        with torch.no_grad():
            for part in passes(images):
                batch = self.runs[0].data.normalise(part)
                for run, mine in zip(self.runs, parts, strict=True):
                    mine.append(functional.log_softmax(run.model.eval()(batch), dim=1).cpu())
        return [torch.cat(mine) for mine in parts]
