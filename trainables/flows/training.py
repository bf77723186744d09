"""The training function of the semi-conditional flow; reads from top to bottom."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from raybayes.contract import Context, State
from raybayes.errors import TrialError
from trainables.flows.config import TOYS, Config, max_steps, without_effect
from trainables.flows.data.examples import FlowData, prepare, said
from trainables.flows.data.streams import Batch, Stream
from trainables.flows.evaluation import inverse_error, score
from trainables.flows.guard import first_non_finite
from trainables.flows.models.build import build_flow
from trainables.flows.models.flow import SemiConditionalFlow
from trainables.flows.models.gflops import gflops
from trainables.flows.objectives import loss
from trainables.flows.progress import make_optimiser, step_size
from trainables.flows.recording import metrics_of, references, save
from trainables.flows.weights import load

_LOST_ABOVE = 0.1  # pictures are in [0, 1], vectors have a deviation of about 1
_MOST_SKIPPED = 20  # consecutive updates without a finite gradient, after which the trial fails


def train(config: Config, ctx: Context) -> None:
    """Train one flow on few labelled and many unlabelled examples, and report its error and its density."""
    data = prepare(config, None if config.dataset in TOYS else ctx.data(config.dataset), ctx.device)
    for sentence in said(data):
        ctx.log.info(sentence)
    for sentence in without_effect(config):
        ctx.log.warning(sentence)
    stream = Stream(config, data, ctx)
    log_prior = data.log_prior(config)
    flow = build_flow(config, data.shape, data.classes, ctx.rng("weights"), log_prior).to(ctx.device)
    cost = gflops(flow, data.shape)
    run = Run(config, flow)

    if (saved := ctx.resume()) is not None:
        run.restore(saved)
    else:  # before DDP wraps the flow, on the same examples on every worker
        _warn_of_constants(flow.initialise(stream.first()), ctx)
    wrapped = ctx.wrap(flow)
    run.start_clock()

    while run.reported < max_steps(config):
        flow.train()
        means = Means(ctx.device)
        while run.step < (run.reported + 1) * config.steps // config.reports:
            update(run, wrapped, stream.batch(run.step), means, ctx)
            run.step += 1
        flow.eval()
        run.reported += 1
        metrics = {**_measured(run, data, cost, ctx), **means.values(ctx)}
        ctx.report(metrics, run.state)


class Run:
    """What a checkpoint holds: the flow, its optimiser, and how far they have come.

    Attributes:
        step: updates so far.
        reported: reports so far.
    """

    def __init__(self, config: Config, flow: SemiConditionalFlow) -> None:
        self.config, self.flow = config, flow
        self.optimiser = make_optimiser(config, flow)
        self.step = self.reported = 0
        self._seconds_before, self._began = 0.0, time.process_time()

    def start_clock(self) -> None:
        """Count processor time from now on, in addition to that of earlier attempts."""
        self._began = time.process_time()

    @property
    def seconds(self) -> float:
        """Processor seconds of training and scoring so far."""
        return self._seconds_before + time.process_time() - self._began

    def state(self) -> State:
        return {
            "flow": self.flow.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "step": self.step,
            "reported": self.reported,
            "seconds": self.seconds,
        }

    def restore(self, saved: State) -> None:
        """The inverse of `state`."""
        load(self.flow, saved["flow"])
        self.optimiser.load_state_dict(saved["optimiser"])
        self.step, self.reported, self._seconds_before = saved["step"], saved["reported"], saved["seconds"]


def update(run: Run, wrapped: nn.Module, batch: Batch, means: Means, ctx: Context) -> None:
    """One update; without a finite gradient it is skipped.

    Args:
        wrapped: the flow as all workers train it together.
        means: where the numbers of the update are added.

    Raises:
        TrialError: too many consecutive updates were skipped; names the layer that went wrong first.
    """
    config, flow = run.config, run.flow
    for group in run.optimiser.param_groups:
        group["lr"] = step_size(config, run.step)
    guessed = None
    if batch.again is not None:
        with torch.no_grad():
            guessed = flow.log_posterior(batch.again).argmax(1)
    terms = wrapped(batch.x, batch.labels, config.traits.every_class)
    value = loss(config, terms, batch.labels, guessed, run.step / config.steps, flow.log_prior)
    run.optimiser.zero_grad(set_to_none=True)
    value.backward()
    # After DDP's exchange the norm is the same on every worker, so all of them skip or none.
    norm = nn.utils.clip_grad_norm_(flow.parameters(), config.clip)
    if bool(norm.isfinite()):
        run.optimiser.step()
        means.add(value, -terms.joint.mean(), norm, -terms.unlabelled.logsumexp(1).mean())
        return
    means.skip()
    if means.skipped_in_a_row >= _MOST_SKIPPED or not all(p.isfinite().all() for p in flow.parameters()):
        found = filter(None, ctx.gather(first_non_finite(flow, batch.x)))
        raise TrialError(
            f"update {run.step}: no finite gradient in {means.skipped_in_a_row} updates;"
            f" {next(found, 'the loss is finite, its gradient is not')}; lower lr or clip, raise warmup, or use"
            f" bound = tanh."
        )


class Means:
    """Means over the updates since the last report; kept on the device, so that no update waits for it.

    Attributes:
        skipped: updates without a finite gradient since the last report.
        skipped_in_a_row: the newest of them without a good one in between.
    """

    NAMES = ("loss", "labelled_nll", "grad_norm", "unlabelled_nll")

    def __init__(self, device: torch.device) -> None:
        self._total = torch.zeros(len(self.NAMES), dtype=torch.float64, device=device)
        self._count = self.skipped = self.skipped_in_a_row = 0

    def add(self, *values: Tensor) -> None:
        """Count an update; scalars in the order of NAMES."""
        self._total += torch.stack([value.detach().double() for value in values])
        self._count += 1
        self.skipped_in_a_row = 0

    def skip(self) -> None:
        """Count an update without a finite gradient."""
        self.skipped += 1
        self.skipped_in_a_row += 1

    def values(self, ctx: Context) -> dict[str, float]:
        """The means over updates and workers, as far as they are finite, by metric."""
        means = ctx.all_reduce(self._total / max(1, self._count)).tolist()
        named = {name: mean for name, mean in zip(self.NAMES, means, strict=True) if math.isfinite(mean)}
        return {**named, "skipped": float(self.skipped)}


def _measured(run: Run, data: FlowData, cost: float, ctx: Context) -> dict[str, float]:
    """Validation metrics; with the last report test metrics too, and the tables are stored."""
    config, flow = run.config, run.flow
    scores = score(flow, data.val, config.eval_draws, ctx)
    metrics = {**metrics_of(scores, flow.log_prior), "gflops": cost, "inverse_error": inverse_error(flow, data.test)}
    _require_inverse(run, data)
    if run.reported < max_steps(config):
        return metrics
    seconds = run.seconds
    test = score(flow, data.test, config.eval_draws, ctx)
    metrics |= {"test_error": test.error, "test_bpd": test.bpd, "test_nll": test.nll}
    metrics |= references(config, data)
    if ctx.rank == 0:
        save(flow, config, data, scores, test, seconds, metrics, ctx)
    return metrics


def _require_inverse(run: Run, data: FlowData) -> None:
    """TrialError if labelled training examples are lost on the way to their latents and back, in float64 too."""
    labelled = data.train.at(data.labelled)
    if inverse_error(run.flow, labelled) <= _LOST_ABOVE:
        return
    exact = inverse_error(copy.deepcopy(run.flow).double(), labelled)
    if exact > _LOST_ABOVE:
        raise TrialError(
            f"update {run.step}: the flow is not invertible: decoding the latents of its own training examples misses"
            f" them by {exact:.2g} in float64, so its samples and densities mean nothing; use bound = half, fewer"
            f" couplings, or a lower lr."
        )


def _warn_of_constants(constant: Mapping[str, list[int]], ctx: Context) -> None:
    for name, channels in constant.items():
        ctx.log.warning("layer %s: channels %s are constant in the first batch and keep their scale", name, channels)
