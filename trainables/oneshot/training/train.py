"""The training function of the one-shot detector."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from raybayes.contract import Context, State
from trainables.oneshot.config import Config, max_steps
from trainables.oneshot.data.draws import Draws
from trainables.oneshot.data.loaders import load_data
from trainables.oneshot.detection.detector import Detector
from trainables.oneshot.detection.finder import Finder
from trainables.oneshot.detection.scales import eval_scale
from trainables.oneshot.evaluation.evaluate import evaluate, require_storage
from trainables.oneshot.evaluation.report import report_numbers
from trainables.oneshot.evaluation.tables import store_evaluation
from trainables.oneshot.training.batches import Batches
from trainables.oneshot.training.mining import Mined, mine
from trainables.oneshot.training.objective import objective
from trainables.oneshot.training.optimiser import build_optimiser, set_step_sizes


def train(config: Config, ctx: Context) -> None:
    """Evaluate the untrained detector, then train and evaluate it in equal shares of the updates.

    W workers draw batches of their own and average their gradients; they divide the evaluated scenes.
    """
    training = Training(config, ctx)
    if (saved := ctx.resume()) is not None:
        training.load(saved)
    while not training.finished:
        totals = training.train_share()
        training.report(totals)


class Training:
    """One worker's part of a training: its model and data, and the progress so far.

    Args:
        config: the configuration.
        ctx: the trial's context.
    """

    def __init__(self, config: Config, ctx: Context) -> None:
        self.config, self.ctx = config, ctx
        self.data = load_data(config, ctx.data)
        for note in self.data.notes:
            ctx.log.warning(note)
        scenes = self.data.train or self.data.evaluate
        scale = eval_scale(scenes, config.model.grid_size, config.inference.eval_scale)
        ctx.log.info(scale.explanation)
        require_storage(config, self.data, scale.long_side)
        self.long_side = scale.long_side
        self.detector = Detector(config, ctx.rng("weights"))
        self.detector.freeze(config)
        self.model = ctx.wrap(self.detector) if config.steps else self.detector.to(ctx.device)
        self.optimiser = build_optimiser(self.detector, config) if config.steps else None
        self.batches = Batches(config, self.data, {s.id: scale.factor(s.width, s.height) for s in self.data.train})
        self.finder = Finder(self.detector, config, scale.long_side, ctx.device)
        self.shares = max_steps(config) - 1  # reports after updates; the first report precedes them
        self.update, self.reported, self.skipped = 0, 0, 0
        self.mined: list[Mined] = []
        self.thresholds: dict[str, float | None] = {}

    def state(self) -> State:
        """The state for a checkpoint, the inverse of `load`; also all that `raybayes detect` needs."""
        return {
            "config": self.config.model_dump(mode="json"),
            "long_side": self.long_side,
            "detector": self.detector.state_dict(),
            "optimiser": self.optimiser.state_dict() if self.optimiser is not None else None,
            "update": self.update,
            "reported": self.reported,
            "skipped": self.skipped,
            "thresholds": self.thresholds,
            "mined": [asdict(each) for each in self.mined],
        }

    def load(self, saved: State) -> None:
        """Continue from a checkpoint."""
        self.detector.load_state_dict(saved["detector"])
        if self.optimiser is not None:
            self.optimiser.load_state_dict(saved["optimiser"])
        self.update, self.reported, self.skipped = saved["update"], saved["reported"], saved["skipped"]
        self.mined = [Mined(**{**each, "window": tuple(each["window"])}) for each in saved["mined"]]

    @property
    def finished(self) -> bool:
        """Whether every report was made."""
        return self.reported > self.shares

    def train_share(self) -> Tensor:
        """The updates up to the next report; (3,) float64 sums over them: loss, positives, counted updates."""
        totals = torch.zeros(3, dtype=torch.float64)
        while self.shares and self.update < self.reported * self.config.steps // self.shares:
            assert self.optimiser is not None  # there are no updates without steps
            period = self.config.mining.period
            if period and self.update and self.update % period == 0:
                self._mine()
            totals += self._update(self.optimiser)
            self.update += 1
        return totals

    def _mine(self) -> None:
        """Find hard patches on the training scenes, which the workers divide."""
        ctx = self.ctx
        own = self.data.train[ctx.rank :: ctx.world_size]
        draws = Draws(ctx.rng(f"mining/{self.update}/{ctx.rank}"))
        found = mine(self.detector, self.config, self.data, own, self.batches.scales, draws, ctx.device)
        self.mined = [each for part in ctx.gather(found) for each in part]

    def _update(self, optimiser: torch.optim.Optimizer) -> Tensor:
        """One update; (3,) loss, positives and 1, or zeros if the gradient is not finite, so that it is skipped."""
        config, device = self.config, self.ctx.device
        batch = self.batches.draw(self.ctx.rng(f"batch/{self.update}/{self.ctx.rank}"), self.mined)
        set_step_sizes(optimiser, config, self.update)
        self.detector.start_training(config)
        matches = self.model(batch.scenes.to(device), [image.to(device) for image in batch.class_images])
        loss, positives = objective(matches, batch, config, self.detector, self.update)
        optimiser.zero_grad()
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.detector.parameters(), config.optim.max_grad_norm)
        if not torch.isfinite(norm):  # gradients are averaged, so all workers agree
            self.skipped += 1
            return torch.zeros(3, dtype=torch.float64)
        optimiser.step()
        return torch.tensor([loss.item(), positives, 1.0], dtype=torch.float64)

    def report(self, totals: Tensor) -> None:
        """Evaluate and report; the last report of a training also stores the tables.

        Args:
            totals: of the updates since the last report, from `train_share`.
        """
        config, ctx = self.config, self.ctx
        last = self.reported == self.shares
        evaluation = evaluate(self.finder, config, self.data, ctx, keep_raw=last and config.evaluation.raw)
        metrics, classes = report_numbers(evaluation, self.data, config)
        self.thresholds = dict(zip(classes["class"].to_pylist(), classes["threshold"].to_pylist(), strict=True))
        metrics |= {"updates": float(self.update), "skipped_updates": float(self.skipped)}
        if self.reported:
            metrics |= self._means(totals)
        self.reported += 1
        if last and ctx.rank == 0:
            ctx.save_table("classes", classes)
            store_evaluation(evaluation, self.data, config, ctx)
        ctx.report(metrics, self.state)

    def _means(self, totals: Tensor) -> dict[str, Any]:
        """Means over the updates of all workers."""
        mean = self.ctx.all_reduce(totals.to(self.ctx.device, torch.float32)).cpu()
        counted = mean[2].clamp(min=1)
        return {"loss": float(mean[0] / counted), "positives": float(mean[1] / counted)}
