"""Maximum likelihood with label smoothing, and scheduled sampling.

References:
    Szegedy et al., "Rethinking the Inception architecture", CVPR 2016 (label smoothing).
    Bengio, Vinyals, Jaitly, Shazeer, "Scheduled sampling", NeurIPS 2015, arXiv 1506.03099.
"""

from __future__ import annotations

import torch
from torch.nn.functional import cross_entropy

from trainables.autoregressive.methods.step import Outcome, Step
from trainables.autoregressive.rollouts.rollin import RollIn, ground_truth, roll_in


def maximum_likelihood(step: Step) -> Outcome:
    """Cross-entropy under teacher forcing."""
    return _cross_entropy(step, ground_truth(step.batch.refs), step.config.label_smoothing)


def scheduled_sampling(step: Step) -> Outcome:
    """Each place is fed the ground truth with a probability, else the model's arg-max; the target stays y_t."""
    batch = step.batch
    with step.watch.phase("rollin"):
        rolled = roll_in("mixed-cells", step.model, batch.source, batch.refs, batch.limits, step.probability, None,
                         step.draws, step.sentence)  # fmt: skip
    return _cross_entropy(step, rolled, 0.0)


def _cross_entropy(step: Step, rolled: RollIn, smoothing: float) -> Outcome:
    refs = step.batch.refs
    scores, _ = step.forward(rolled)
    cells = torch.minimum(rolled.cells, refs.length + 1)
    inside = torch.arange(scores.shape[1], device=scores.device) < cells.unsqueeze(1)
    row, time = inside.nonzero(as_tuple=True)
    targets = refs.padded(scores.shape[1])[row, time]
    return Outcome(cross_entropy(scores[row, time], targets, reduction="none", label_smoothing=smoothing), row)
