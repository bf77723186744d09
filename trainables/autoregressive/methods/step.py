"""What a training method receives, and what it returns."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from trainables.autoregressive.config import Config
from trainables.autoregressive.draws import Draws
from trainables.autoregressive.models import Seq2Seq, Source, Trace
from trainables.autoregressive.rollouts.rollin import RollIn
from trainables.autoregressive.sequences.chunks import Tags
from trainables.autoregressive.stopwatch import Stopwatch
from trainables.autoregressive.tasks.data import Split


@dataclass
class Step:
    """One training step of one worker.

    Args:
        wrapped: the model as all workers train it together; the gradient comes from one call of it.
        model: the same without DDP.
        batch: this worker's sentences.
        sentence: (B,) their numbers within the batch of all workers, for the draws.
        probability: of the reference in a mixed roll-in, now.
        baseline: mean cost of a sequence, for REINFORCE; None before the first step.
    """

    config: Config
    wrapped: nn.Module
    model: Seq2Seq
    batch: Split
    sentence: Tensor
    tags: Tags | None
    draws: Draws
    iteration: int
    probability: float
    baseline: float | None
    watch: Stopwatch

    def forward(self, rolled: RollIn) -> tuple[Tensor, Trace]:
        """Scores (B, T, V) with gradient, and the trace."""
        scores, trace = self.wrapped(self.batch.source, rolled.fed(self.model.bos))
        found: tuple[Tensor, Trace] = scores[:, 0], trace
        return found

    def without_dropout(self, rolled: RollIn, trace: Trace) -> Trace:
        """The trace that roll-outs start from: they run without dropout, so their prefix must, too."""
        if not self.config.model.dropout:
            return trace
        self.model.eval()
        with torch.no_grad():
            clean: Trace = self.model(self.batch.source, rolled.fed(self.model.bos))[1]
        self.model.train()
        return clean

    def repeated(self, n: int) -> tuple[Source, Split, Tensor, Tensor]:
        """Every sentence repeated n times: source, batch, numbers of sentences and of samples (B n,)."""
        index = torch.arange(len(self.batch), device=self.sentence.device).repeat_interleave(n)
        sample = torch.arange(n, device=index.device).repeat(len(self.batch))
        picked = self.batch.pick(index)
        return picked.source, picked, self.sentence[index], sample


@dataclass(frozen=True)
class Outcome:
    """Losses to be averaged.

    Args:
        losses: (N,) with gradient, of cells or of whole sentences.
        row: (N,) the sentence of each within this worker's part of the batch.
        by_cell: whether they are losses of cells, which may be averaged over the whole batch.
        rows, steps: roll-outs by the model and their steps.
        cost: mean cost of this worker's sampled sequences, for the baseline.
    """

    losses: Tensor
    row: Tensor
    by_cell: bool = True
    rows: int = 0
    steps: int = 0
    cost: float | None = field(default=None)
