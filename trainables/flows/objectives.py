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

from torch import Tensor

from trainables.flows.config import Config
from trainables.flows.models.flow import Terms


def needs_every_class(config: Config) -> bool:
    """Whether labelled examples must be scored under every class."""
    return config.objective == "hybrid"


def loss(
    config: Config, terms: Terms, labels: Tensor, guessed: Tensor | None, progress: float, log_prior: Tensor
) -> Tensor:
    """The objective of a batch, a scalar.

    Args:
        labels: of the labelled rows, (labelled,).
        guessed: labels of the unlabelled rows under the other augmentation, for flowgmm-cons.
        progress: share of the run that is done, in [0, 1].
        log_prior: log p(y), (classes,).
    """
    values, joint = config.loss, terms.unlabelled
    marginal = joint.logsumexp(1)
    total = _weighted(terms.joint, marginal, values.label if config.objective == "weighted" else 1.0)
    if config.objective == "hybrid":
        assert terms.labelled is not None
        posterior = terms.labelled.log_softmax(1)
        total = total - values.ce * posterior.gather(1, labels[:, None]).mean()
    elif config.objective == "entropy":
        total = total + values.entropy * entropy(joint)
    elif config.objective == "kl-balance":
        mean = (joint.log_softmax(1).exp()).mean(0)
        total = total + values.balance * (mean * (mean.clamp_min(1e-12).log() - log_prior)).sum()
        if values.balance_entropy:
            total = total + values.balance_entropy * entropy(joint)
    elif config.objective == "flowgmm-cons":
        assert guessed is not None
        weight = values.consistency * (min(1.0, progress / values.ramp) if values.ramp else 1.0)
        total = total - weight * joint.gather(1, guessed[:, None]).mean()
    return total


def entropy(joint: Tensor) -> Tensor:
    """Mean H[p(y|x)] in nats, from log p(x, k) (n, classes)."""
    posterior = joint.log_softmax(1)
    return -(posterior.exp() * posterior).sum(1).mean()


def _weighted(labelled: Tensor, unlabelled: Tensor, weight: float) -> Tensor:
    return -(weight * labelled.sum() + unlabelled.sum()) / (weight * len(labelled) + len(unlabelled))
