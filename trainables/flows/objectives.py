"""What is minimised, in nats an example. t(x, y) = log p(x, y) of a labelled example, t(x) = log p(x) of another.

    generative     -mean of t over the batch: the paper's objective; the batch's labelled share weights the two parts
    weighted       the same mean with weight `label` for labelled examples, weights adding up to 1
    hybrid         generative + ce * mean cross-entropy of the labelled
    entropy        generative + entropy * mean H[p(y|x)] of the unlabelled; may collapse to one class
    kl-balance     generative + balance * KL(mean of p(y|x) over the unlabelled || p(y)) + balance_entropy * H
    flowgmm-cons   generative + consistency * mean of -log p(x', the label guessed at x''), x' and x'' two augmentations

The first three terms are the paper's and its code's; entropy and balance are general practice; the last one is
FlowGMM's (Izmailov et al. 2020). Means over the unlabelled in kl-balance are those of a worker's share of the batch.

The gradient of log p(x) is sum_k p(k|x) grad log p(x, k): a gradient step of EM is this step, so EM is not an
objective of its own (tests compare the two).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from raybayes.contract import require_entries
from trainables.flows.config import Config, LossValues, Objective
from trainables.flows.models.flow import Terms


@dataclass(frozen=True)
class Scored:
    """What an objective sees of a batch.

    Args:
        values: weights of the terms.
        terms: log-densities of the batch, in nats.
        labels: of the labelled rows, (labelled,).
        guessed: labels of the unlabelled rows under the other augmentation, (unlabelled,); None without a second view.
        progress: share of the run that is done, in [0, 1].
        log_prior: log p(y), (classes,).
    """

    values: LossValues
    terms: Terms
    labels: Tensor
    guessed: Tensor | None
    progress: float
    log_prior: Tensor

    def mean_nll(self, weight: float = 1.0) -> Tensor:
        """-mean of t over the batch, labelled examples counted `weight` times."""
        labelled, unlabelled = self.terms.joint, self.terms.unlabelled.logsumexp(1)
        return -(weight * labelled.sum() + unlabelled.sum()) / (weight * len(labelled) + len(unlabelled))


def loss(
    config: Config, terms: Terms, labels: Tensor, guessed: Tensor | None, progress: float, log_prior: Tensor
) -> Tensor:
    """The objective of a batch, a scalar in nats; for the arguments see `Scored`."""
    return LOSSES[config.objective](Scored(config.loss, terms, labels, guessed, progress, log_prior))


def _generative(batch: Scored) -> Tensor:
    return batch.mean_nll()


def _weighted(batch: Scored) -> Tensor:
    return batch.mean_nll(batch.values.label)


def _hybrid(batch: Scored) -> Tensor:
    if batch.terms.labelled is None:
        raise ValueError("objective = hybrid needs the labelled examples scored under every class")
    posterior = batch.terms.labelled.log_softmax(1)
    return batch.mean_nll() - batch.values.ce * posterior.gather(1, batch.labels[:, None]).mean()


def _entropy(batch: Scored) -> Tensor:
    return batch.mean_nll() + batch.values.entropy * entropy(batch.terms.unlabelled)


def _kl_balance(batch: Scored) -> Tensor:
    values, joint = batch.values, batch.terms.unlabelled
    mean = (joint.log_softmax(1).exp()).mean(0)
    total = batch.mean_nll() + values.balance * (mean * (mean.clamp_min(1e-12).log() - batch.log_prior)).sum()
    return total + values.balance_entropy * entropy(joint) if values.balance_entropy else total


def _flowgmm_cons(batch: Scored) -> Tensor:
    if batch.guessed is None:
        raise ValueError("objective = flowgmm-cons needs labels guessed under a second augmentation")
    values = batch.values
    weight = values.consistency * (min(1.0, batch.progress / values.ramp) if values.ramp else 1.0)
    return batch.mean_nll() - weight * batch.terms.unlabelled.gather(1, batch.guessed[:, None]).mean()


def entropy(joint: Tensor) -> Tensor:
    """Mean H[p(y|x)] in nats, from log p(x, k) (n, classes)."""
    posterior = joint.log_softmax(1)
    return -(posterior.exp() * posterior).sum(1).mean()


LOSSES: dict[Objective, Callable[[Scored], Tensor]] = {
    "generative": _generative,
    "weighted": _weighted,
    "hybrid": _hybrid,
    "entropy": _entropy,
    "kl-balance": _kl_balance,
    "flowgmm-cons": _flowgmm_cons,
}
require_entries(Objective, LOSSES, "trainables/flows/objectives.py: LOSSES")
