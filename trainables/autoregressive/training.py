"""The training function: trains an encoder-decoder by one of the methods."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor, nn

from raybayes.contract import Context
from trainables.autoregressive.batches import Order
from trainables.autoregressive.config import Config, max_steps
from trainables.autoregressive.cost_map import cost_map
from trainables.autoregressive.draws import Draws
from trainables.autoregressive.evaluation import decoded, predictions, scores
from trainables.autoregressive.methods import METHODS, Outcome, Step
from trainables.autoregressive.models import Seq2Seq
from trainables.autoregressive.optimiser import Optimiser
from trainables.autoregressive.schedules import lr_factor, rollin_probability
from trainables.autoregressive.stopwatch import Stopwatch
from trainables.autoregressive.tasks.loaders import build_model, load_task

_SETUP = pa.schema([("config", pa.string()), ("notes", pa.list_(pa.string()))])
_PROGRESS = ("report", "iteration", "phase", "cost_seconds")


def train(config: Config, ctx: Context) -> None:
    """Train, score the validation sentences at every report, and the test sentences at the last.

    Each of several workers takes its share of every batch, and losses are averaged over the whole batch, so any number
    of workers computes the same. One report covers an equal share of the iterations (or of the processor time).
    """
    training = Training(config, ctx)
    if (saved := ctx.resume()) is not None:
        training.restore(saved)
    training.describe()
    while not training.finished:
        losses: list[float] = []
        while not training.report_is_due():
            losses.append(training.step())
        ctx.report(training.measured(losses), training.state)


@dataclass
class Position:
    """How far a run has got.

    Args:
        rows, row_steps: roll-outs of all workers, and model steps in them.
        baseline: what a sampled sequence costs on average.
        loss: mean over the steps before the last report.
        lr_factor, best, waited: of the plateau rule: the factor of the step size, the lowest validation error, and the
            reports since then.
    """

    iteration: int = 0
    reported: int = 0
    rows: int = 0
    row_steps: int = 0
    baseline: float | None = None
    loss: float | None = None
    lr_factor: float = 1.0
    best: float = math.inf
    waited: int = 0


class Training:
    """One worker's part of a run: data, model, optimiser, and its position."""

    def __init__(self, config: Config, ctx: Context) -> None:
        self._config, self._ctx = config, ctx
        data = self._data = load_task(config, ctx)
        self._train = data.train.thinned(config.train_rows).to(ctx.device)
        self._val, self._test = (part.thinned(config.eval_rows).to(ctx.device) for part in (data.val, data.test))
        self._tags = data.tags.to(ctx.device) if data.tags is not None else None
        self._noise = torch.Generator(ctx.device).manual_seed(ctx.rng(f"dropout/{ctx.rank}").initial_seed())
        self._wrapped = ctx.wrap(build_model(config, data, ctx.rng("weights"), self._noise))
        self._model: Seq2Seq = unwrapped(self._wrapped)
        self._optimiser = Optimiser(config.optimiser, self._model.parameters())
        self._order = Order(self._train, config.batch, config.pool, ctx)
        self._watch, self._now, self._reports = Stopwatch(), Position(), max_steps(config)
        self._progress: dict[str, list[Any]] = {name: [] for name in _PROGRESS}

    @property
    def finished(self) -> bool:
        return self._now.reported >= self._reports

    def restore(self, saved: dict[str, Any]) -> None:
        """The inverse of `state`."""
        self._model.load_state_dict(saved["model"])
        self._optimiser.load(saved["optimiser"])
        self._noise.set_state(saved["noise"])
        self._now, self._progress = Position(**saved["now"]), saved["progress"]
        self._watch.seconds = dict(saved["seconds"])

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "model": self._model.state_dict(),
            "optimiser": self._optimiser.state(),
            "noise": self._noise.get_state(),
            "now": dict(vars(self._now)),
            "progress": {name: list(column) for name, column in self._progress.items()},
            "seconds": dict(self._watch.seconds),
        }

    def describe(self) -> None:
        """Store the whole configuration, and notes on the data."""
        if self._ctx.rank == 0:
            row = {"config": [self._config.model_dump_json()], "notes": [list(self._data.notes)]}
            self._ctx.save_table("setup", pa.table(row, _SETUP))

    def report_is_due(self) -> bool:
        """Whether to report now; with a budget of processor time, worker 0's clock decides."""
        config, share = self._config, (self._now.reported + 1) / self._reports
        if config.cpu_seconds is None:
            return self._now.iteration >= (self._now.reported + 1) * config.iterations // self._reports
        spent = self._watch.seconds["training"]
        if self._ctx.world_size > 1:
            spent = self._ctx.gather(spent)[0]
        return bool(spent >= share * config.cpu_seconds)

    def step(self) -> float:
        """One step of all workers; its loss, averaged over them."""
        config, iteration = self._config, self._now.iteration
        with self._watch.phase("training"):
            self._model.train()
            index, sentence = self._order.batch(iteration)
            step = Step(config, self._wrapped, self._model, self._train.pick(index), sentence, self._tags,
                        Draws(self._ctx.seed, iteration), iteration, rollin_probability(config, iteration),
                        self._now.baseline, self._watch)  # fmt: skip
            outcome = METHODS["mle" if iteration < config.warm_start else config.method](step)
            loss = averaged(outcome, config, self._ctx)
            with self._watch.phase("backward"):
                self._optimiser.clear()
                loss.backward()
                self._optimiser.step(self._lr(), config.clip)
        self._count(outcome)
        return float(self._ctx.all_reduce(loss.detach().reshape(1).clone()))

    def measured(self, losses: list[float]) -> dict[str, float]:
        """The metrics of the next report; stores the tables too."""
        config, ctx, now = self._config, self._ctx, self._now
        now.reported += 1
        now.loss = sum(losses) / len(losses) if losses else now.loss
        found = scores(decoded(self._model, self._val, config, ctx), self._val, self._data, config.task)
        self._halve_on_plateau(found["error"])
        metrics = {f"val_{name}": value for name, value in found.items()} | {
            "loss": math.nan if now.loss is None else now.loss,
            "iteration": float(now.iteration),
            "rollouts": float(now.rows),
            "rollout_steps": float(now.row_steps),
            "rollin_probability": rollin_probability(config, now.iteration),
            "lr": self._lr(),
        }
        for phase, seconds in self._watch.seconds.items():
            for name, value in zip(_PROGRESS, (now.reported, now.iteration, phase, seconds), strict=True):
                self._progress[name].append(value)
        if ctx.rank == 0:
            ctx.save_table("progress", pa.table(self._progress))
        return metrics | self._tested()

    def _tested(self) -> dict[str, float]:
        """Test metrics, if this report has them; the last report stores predictions and costs, too."""
        config, ctx, last = self._config, self._ctx, self.finished
        if not last and not config.test_every_report:
            return {}
        hyps = decoded(self._model, self._test, config, ctx)
        if last and ctx.rank == 0:
            ctx.save_table("predictions", predictions(hyps, self._test, self._data))
            ctx.save_table("costs", cost_map(self._model, self._val, self._data, config))
        return {f"test_{name}": value for name, value in scores(hyps, self._test, self._data, config.task).items()}

    def _lr(self) -> float:
        return self._config.lr * self._now.lr_factor * lr_factor(self._config, self._now.iteration)

    def _count(self, outcome: Outcome) -> None:
        """Update the counters of all workers, and the running mean of sampled costs."""
        ctx, now = self._ctx, self._now
        now.iteration += 1
        numbers = torch.tensor([float(outcome.rows), float(outcome.steps)], dtype=torch.float64, device=ctx.device)
        counted = ctx.all_reduce(numbers)
        now.rows += round(float(counted[0]) * ctx.world_size)
        now.row_steps += round(float(counted[1]) * ctx.world_size)
        if outcome.cost is not None:
            cost = float(ctx.all_reduce(torch.tensor([outcome.cost], dtype=torch.float64, device=ctx.device)))
            kept = self._config.baseline_momentum
            now.baseline = cost if now.baseline is None else kept * now.baseline + (1 - kept) * cost

    def _halve_on_plateau(self, error: float) -> None:
        """Halve the step size when the validation metric stops improving."""
        now, config = self._now, self._config
        if config.lr_decay != "plateau":
            return
        if error < now.best * (1 - 1e-4):
            now.best, now.waited = error, 0
            return
        now.waited += 1
        if now.waited > config.patience:
            now.lr_factor, now.waited = max(now.lr_factor / 2, 1e-5 / config.lr), 0


def unwrapped(model: nn.Module) -> Seq2Seq:
    """The model inside of what `ctx.wrap` made of it.

    Raises:
        TypeError: it is not a Seq2Seq.
    """
    inner = model if isinstance(model, Seq2Seq) else model.module
    if not isinstance(inner, Seq2Seq):
        raise TypeError(f"expected a Seq2Seq, found {type(inner).__name__}")
    return inner


def averaged(outcome: Outcome, config: Config, ctx: Context) -> Tensor:
    """This worker's part of the mean over the whole batch, times the number of workers: gradients are averaged."""
    losses = outcome.losses
    if outcome.by_cell and config.averaging == "cells":
        cells = ctx.all_reduce(torch.tensor([float(len(losses))], device=losses.device))
        return losses.sum() / cells.squeeze(0).to(losses.dtype)
    if outcome.by_cell:
        count = torch.bincount(outcome.row, minlength=1).to(losses.dtype)
        losses = losses / count[outcome.row]
    return losses.sum() * ctx.world_size / config.batch
