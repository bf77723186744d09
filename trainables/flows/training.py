"""The training function of the semi-conditional flow; reads from top to bottom."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import torch
from torch import Tensor, nn

from raybayes.contract import Context, State
from raybayes.errors import TrialError
from trainables.flows.config import TOYS, Config, max_steps
from trainables.flows.controls import control_errors
from trainables.flows.data.examples import FlowData, prepare
from trainables.flows.data.streams import Batch, Stream
from trainables.flows.data.toys import true_log_joint
from trainables.flows.evaluation import Scores, score
from trainables.flows.guard import first_non_finite
from trainables.flows.models.build import build_flow, gflops
from trainables.flows.models.flow import SemiConditionalFlow
from trainables.flows.objectives import loss, needs_every_class
from trainables.flows.progress import make_optimiser, step_size
from trainables.flows.sampling import class_samples, samples_table
from trainables.flows.weights import load, weights_table

_MOST_SKIPPED = 20  # updates in a row without a finite gradient, after which a run is given up


def train(config: Config, ctx: Context) -> None:
    """Train one flow on few labelled and many unlabelled examples, and report its error and its density."""
    data = prepare(config, None if config.dataset in TOYS else ctx.data(config.dataset), ctx.device)
    stream = Stream(config, data, ctx)
    log_prior = data.log_prior(config.prior)
    flow = build_flow(config, data.shape, data.classes, ctx.rng("weights"), log_prior).to(ctx.device)
    cost = gflops(flow, data.shape)
    optimiser = make_optimiser(config, flow)
    step, reported, seconds_before = 0, 0, 0.0

    if (saved := ctx.resume()) is not None:
        load(flow, saved["flow"])
        optimiser.load_state_dict(saved["optimiser"])
        step, reported, seconds_before = saved["step"], saved["reported"], saved["seconds"]
    else:  # before DDP wraps the flow, on the same examples on every worker
        _warn_of_constants(flow.initialise(stream.first()), ctx)
    wrapped = ctx.wrap(flow)
    began = time.process_time()

    def seconds() -> float:
        return seconds_before + time.process_time() - began

    def state() -> State:
        values = {"flow": flow.state_dict(), "optimiser": optimiser.state_dict(), "step": step, "reported": reported}
        return {**values, "seconds": seconds()}

    while reported < max_steps(config):
        flow.train()
        terms = _Means(ctx.device)
        while step < (reported + 1) * config.steps // config.reports:
            update(config, wrapped, flow, optimiser, stream.batch(step), step, terms, ctx)
            step += 1
        flow.eval()
        scores = score(flow, data.val, config.eval_draws, ctx)
        reported += 1
        metrics = {**summary(scores, log_prior), **terms.values(ctx), "gflops": cost}
        if reported == max_steps(config):
            spent = seconds()
            test = score(flow, data.test, config.eval_draws, ctx)
            metrics |= {"test_error": test.error, "test_bpd": test.bpd, "test_nll": test.nll}
            metrics |= references(config, data)
            if ctx.rank == 0:
                save(config, flow, data, scores, test, spent, metrics, ctx)
        ctx.report(metrics, state)


def update(
    config: Config,
    wrapped: nn.Module,
    flow: SemiConditionalFlow,
    optimiser: torch.optim.Optimizer,
    batch: Batch,
    step: int,
    means: _Means,
    ctx: Context,
) -> None:
    """One update; without a finite gradient it is skipped.

    Raises:
        TrialError: too many were skipped in a row; names the layer that went wrong first.
    """
    for group in optimiser.param_groups:
        group["lr"] = step_size(config, step)
    guessed = None
    if batch.again is not None:
        with torch.no_grad():
            guessed = flow.log_posterior(batch.again).argmax(1)
    terms = wrapped(batch.x, batch.labels, needs_every_class(config))
    value = loss(config, terms, batch.labels, guessed, step / config.steps, flow.log_prior)
    optimiser.zero_grad(set_to_none=True)
    value.backward()
    # After DDP's exchange the norm is the same on every worker, so all of them skip or none.
    norm = nn.utils.clip_grad_norm_(flow.parameters(), config.clip)
    if bool(norm.isfinite()):
        optimiser.step()
        means.skipped_in_a_row = 0
        means.add(value, -terms.joint.mean(), norm, -terms.unlabelled.logsumexp(1).mean())
        return
    means.skipped += 1
    means.skipped_in_a_row += 1
    if means.skipped_in_a_row >= _MOST_SKIPPED or not all(p.isfinite().all() for p in flow.parameters()):
        where = next(
            filter(None, ctx.gather(first_non_finite(flow, batch.x))), "the loss is finite, its gradient is not"
        )
        raise TrialError(
            f"update {step}: no finite gradient in {means.skipped_in_a_row} updates; {where}; lower lr or clip, raise"
            f" warmup, or use bound = tanh."
        )


class _Means:
    """Means of what updates saw since the last report; kept on the device, so that no update waits for it."""

    NAMES = ("loss", "labelled_nll", "grad_norm", "unlabelled_nll")

    def __init__(self, device: torch.device) -> None:
        self.total = torch.zeros(len(self.NAMES), dtype=torch.float64, device=device)
        self.count = self.skipped = self.skipped_in_a_row = 0

    def add(self, *values: Tensor) -> None:
        self.total += torch.stack([value.detach().double() for value in values])
        self.count += 1

    def values(self, ctx: Context) -> dict[str, float]:
        means = ctx.all_reduce(self.total / max(1, self.count)).tolist()
        named = {name: mean for name, mean in zip(self.NAMES, means, strict=True) if math.isfinite(mean)}
        return {**named, "skipped": float(self.skipped)}


def summary(scores: Scores, log_prior: Tensor) -> dict[str, float]:
    """The validation scores by metric."""
    return {
        "error": scores.error,
        "bpd": scores.bpd,
        "nll": scores.nll,
        "ce": scores.ce,
        "imbalance": scores.imbalance(log_prior),
    }


def references(config: Config, data: FlowData) -> dict[str, float]:
    """What the test scores stand beside: methods that see the labelled examples alone; the truth, where it is known."""
    found: dict[str, float] = {}
    if config.controls:
        found |= control_errors(data.train.at(data.labelled), data.test, data.classes)
    if config.dataset in TOYS:
        joint = true_log_joint(config.dataset, config.spread, data.test.x.cpu())
        found["true_nll"] = -float(joint.logsumexp(1).mean())
        found["bayes_error"] = float((joint.argmax(1) != data.test.labels.cpu()).double().mean())
    return found


def save(
    config: Config,
    flow: SemiConditionalFlow,
    data: FlowData,
    scores: Scores,
    test: Scores,
    seconds: float,
    metrics: Mapping[str, float],
    ctx: Context,
) -> None:
    """Store what `findings` and users read: the run in one row, test predictions, samples, the trained flow."""
    row: dict[str, Any] = {
        "dataset": config.dataset, "preset": config.preset, "objective": config.objective,
        "labelled_share": config.labelled_share, "labels": len(data.labelled), "split_seed": config.split_seed,
        "n_unlabelled": len(data.unlabelled), "n_val": len(data.val), "n_test": len(data.test),
        "trunk": config.trunk.kind, "head": config.head.kind, "steps": config.steps, "batch": config.batch,
        "error": scores.error, "bpd": scores.bpd,
        "weights": config.keep_weights, "seconds": seconds, "config": config.model_dump_json(),
    }  # fmt: skip
    names = ("test_error", "test_bpd", "test_nll", "logreg_error", "nn_error", "true_nll", "bayes_error", "gflops")
    row |= {name: metrics.get(name) for name in names}
    schema = pa.schema([(name, pa.float64()) for name in names])
    ctx.save_table(
        "run", pa.table({k: pa.array([v], schema.field(k).type if k in names else None) for k, v in row.items()})
    )
    ctx.save_table(
        "predictions",
        pa.table(
            {
                "row": list(range(len(data.test))),
                "label": data.test.labels.tolist(),
                "predicted": test.posterior.argmax(1).tolist(),
                "confidence": pa.array(test.posterior.max(1).values.tolist(), pa.float32()),
                "log_density": pa.array(test.log_density.tolist(), pa.float32()),
            }
        ),
    )
    drawn, labels = class_samples(flow, 10, ctx.rng("samples"))
    ctx.save_table("samples", samples_table(drawn, labels, data.pictures, data.projection))
    if config.keep_weights:
        ctx.save_table("weights", weights_table(flow, data.projection, config, data.shape))


def _warn_of_constants(constant: Mapping[str, list[int]], ctx: Context) -> None:
    for name, channels in constant.items():
        ctx.log.warning("layer %s: channels %s are constant in the first batch and keep their scale", name, channels)
