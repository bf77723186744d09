"""The training function: an encoder-decoder is trained by one of the methods; reads from top to bottom."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor

from raybayes.contract import Context
from trainables.autoregressive.config import Config, max_steps
from trainables.autoregressive.draws import Draws
from trainables.autoregressive.evaluation import decoded, predictions, scores
from trainables.autoregressive.heat import cost_map
from trainables.autoregressive.methods import METHODS, Outcome, Step
from trainables.autoregressive.optimiser import Optimiser
from trainables.autoregressive.stopwatch import Stopwatch
from trainables.autoregressive.tasks.choose import build_model, load_task
from trainables.autoregressive.tasks.data import Split

_SETUP = pa.schema([("config", pa.string()), ("notes", pa.list_(pa.string()))])
_POOL = 20  # batches that are sorted by length together


def train(config: Config, ctx: Context) -> None:
    """Train, score the validation sentences at every report, and the test sentences at the last.

    With several workers each takes its share of every batch, and losses are averaged over the whole batch, so that W
    workers and one do the same. One report stands for an equal share of the iterations (or of the processor time).
    """
    data = load_task(config, ctx)
    train_split = data.train.thinned(config.train_rows).to(ctx.device)
    val, test = (part.thinned(config.eval_rows).to(ctx.device) for part in (data.val, data.test))
    tags = data.tags.to(ctx.device) if data.tags is not None else None
    noise = torch.Generator(ctx.device).manual_seed(ctx.rng(f"dropout/{ctx.rank}").initial_seed())
    wrapped = ctx.wrap(build_model(config, data, ctx.rng("weights"), noise))
    model: Any = wrapped.module if hasattr(wrapped, "module") else wrapped
    optimiser = Optimiser(config.optimiser, model.parameters())
    order = Order(train_split, config.batch, ctx)
    watch, steps = Stopwatch(), max_steps(config)
    progress: dict[str, list[Any]] = {name: [] for name in ("report", "iteration", "phase", "cost_seconds")}
    now: dict[str, Any] = {"iteration": 0, "reported": 0, "rows": 0, "row_steps": 0, "baseline": None, "loss": None,
                           "lr_factor": 1.0, "best": math.inf, "waited": 0}  # fmt: skip

    if (saved := ctx.resume()) is not None:
        model.load_state_dict(saved["model"])
        optimiser.load(saved["optimiser"])
        noise.set_state(saved["noise"])
        now, progress, watch.seconds = dict(saved["now"]), saved["progress"], dict(saved["seconds"])

    if ctx.rank == 0:
        ctx.save_table("setup", pa.table({"config": [config.model_dump_json()], "notes": [list(data.notes)]}, _SETUP))

    def state() -> dict[str, Any]:
        return {
            "model": model.state_dict(),
            "optimiser": optimiser.state(),
            "noise": noise.get_state(),
            "now": dict(now),
            "progress": {name: list(column) for name, column in progress.items()},
            "seconds": dict(watch.seconds),
        }

    while now["reported"] < steps:
        losses: list[float] = []
        while not _due(config, now, steps, watch, ctx):
            iteration = now["iteration"]
            with watch.phase("training"):
                model.train()
                index, sentence = order.batch(iteration)
                step = Step(config, wrapped, model, train_split.pick(index), sentence, tags,
                            Draws(ctx.seed, iteration), iteration, rollin_probability(config, iteration),
                            now["baseline"], watch)  # fmt: skip
                method = "mle" if iteration < config.warm_start else config.method
                outcome = METHODS[method](step)
                loss = averaged(outcome, config, ctx)
                with watch.phase("backward"):
                    optimiser.clear()
                    loss.backward()
                    optimiser.step(config.lr * now["lr_factor"] * lr_factor(config, iteration), config.clip)
            losses.append(float(ctx.all_reduce(loss.detach().reshape(1).clone())))
            _follow(now, outcome, config, ctx)
        now["reported"] += 1
        now["loss"] = sum(losses) / len(losses) if losses else now["loss"]
        found = scores(decoded(model, val, config, ctx), val, data, config.task)
        metrics = {f"val_{name}": value for name, value in found.items()}
        _plateau(config, now, found["error"])
        metrics |= {
            "loss": now["loss"],
            "iteration": float(now["iteration"]),
            "rollouts": float(now["rows"]),
            "rollout_steps": float(now["row_steps"]),
            "rollin_probability": rollin_probability(config, now["iteration"]),
            "lr": config.lr * now["lr_factor"] * lr_factor(config, now["iteration"]),
        }
        for phase, seconds in watch.seconds.items():
            for column, value in zip(
                progress.values(), (now["reported"], now["iteration"], phase, seconds), strict=True
            ):
                column.append(value)
        last = now["reported"] == steps
        if last or config.test_every_report:
            hyps = decoded(model, test, config, ctx)
            metrics |= {f"test_{name}": value for name, value in scores(hyps, test, data, config.task).items()}
            if last and ctx.rank == 0:
                ctx.save_table("predictions", predictions(hyps, test, data))
                ctx.save_table("costs", cost_map(model, val, data, config))
        if ctx.rank == 0:
            ctx.save_table("progress", pa.table(progress))
        ctx.report(metrics, state)


class Order:
    """Which sentences a step trains on: every epoch in a new order, sentences of like length together.

    The order is a function of (seed, iteration), so nothing of it needs saving. All workers see the same batches;
    worker r of W takes sentences r, r + W, .. of each.
    """

    def __init__(self, split: Split, batch: int, ctx: Context) -> None:
        self._length, self._batch = split.refs.length.cpu(), batch
        self._seed, self._device = ctx.seed, ctx.device
        self._mine = torch.arange(ctx.rank, batch, ctx.world_size)
        self._epoch, self._batches = -1, torch.empty(0)

    def batch(self, iteration: int) -> tuple[Tensor, Tensor]:
        """This worker's rows of the data set, and their numbers within the whole batch."""
        per_epoch = max(1, len(self._length) // self._batch)
        epoch, place = divmod(iteration, per_epoch)
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, self._shuffled(epoch, per_epoch)
        return self._batches[place][self._mine].to(self._device), self._mine.to(self._device)

    def _shuffled(self, epoch: int, per_epoch: int) -> Tensor:
        """(batches, batch): pools of some batches are sorted by length, then the batches are shuffled."""
        draws = Draws(self._seed, epoch)
        n = len(self._length)
        order = draws.uniform("order", torch.arange(n)).argsort()
        wanted = per_epoch * self._batch
        order = order.repeat(-(-wanted // n))[:wanted]
        pools = [pool[self._length[pool].argsort(dim=0, stable=True)] for pool in order.split(_POOL * self._batch)]
        batches = torch.cat(pools).reshape(per_epoch, self._batch)
        return batches[draws.uniform("batches", torch.arange(per_epoch)).argsort()]


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


def rollin_probability(config: Config, iteration: int) -> float:
    """Of the reference in mixed roll-ins; the schedules of the SeaRNN code, and a linear one.

    none: as configured; linear: from 1 to 0; sigmoid: 1/(1 + exp(12 i/(I - 1) - 6)); exponential: 0.9^(i / 1e5),
    0.9 from then on.
    """
    if config.rollin_schedule == "none":
        return config.rollin_probability
    if config.rollin_schedule == "exponential":
        return 0.9 ** min(1.0, iteration / 1e5)
    share = min(1.0, iteration / max(1, config.iterations - 1))
    return 1 - share if config.rollin_schedule == "linear" else 1 / (1 + math.exp(12 * share - 6))


def lr_factor(config: Config, iteration: int) -> float:
    """Of the step size: a linear start, and a cosine to 0 where asked for."""
    begin = min(1.0, (iteration + 1) / config.lr_warmup) if config.lr_warmup else 1.0
    if config.lr_decay != "cosine":
        return begin
    return begin * 0.5 * (1 + math.cos(math.pi * min(1.0, iteration / config.iterations)))


def _due(config: Config, now: dict[str, Any], steps: int, watch: Stopwatch, ctx: Context) -> bool:
    """Whether the next report is due; with a budget of processor time worker 0's clock decides."""
    if config.cpu_seconds is None:
        return bool(now["iteration"] >= (now["reported"] + 1) * config.iterations // steps)
    spent = watch.seconds["training"]
    if ctx.world_size > 1:
        spent = ctx.gather(spent)[0]
    return bool(spent >= (now["reported"] + 1) * config.cpu_seconds / steps)


def _follow(now: dict[str, Any], outcome: Outcome, config: Config, ctx: Context) -> None:
    """Counters of all workers, and the running mean of sampled costs."""
    now["iteration"] += 1
    counted = ctx.all_reduce(
        torch.tensor([float(outcome.rows), float(outcome.steps)], dtype=torch.float64, device=ctx.device)
    )
    now["rows"] += round(float(counted[0]) * ctx.world_size)
    now["row_steps"] += round(float(counted[1]) * ctx.world_size)
    if outcome.cost is not None:
        cost = float(ctx.all_reduce(torch.tensor([outcome.cost], dtype=torch.float64, device=ctx.device)))
        kept = config.baseline_momentum
        now["baseline"] = cost if now["baseline"] is None else kept * now["baseline"] + (1 - kept) * cost


def _plateau(config: Config, now: dict[str, Any], error: float) -> None:
    """Halve the step size when the validation metric stands still."""
    if config.lr_decay != "plateau":
        return
    if error < now["best"] * (1 - 1e-4):
        now["best"], now["waited"] = error, 0
        return
    now["waited"] += 1
    if now["waited"] > config.patience:
        now["lr_factor"], now["waited"] = max(now["lr_factor"] / 2, 1e-5 / config.lr), 0
