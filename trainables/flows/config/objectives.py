"""What is known of each objective before anything runs: the facts that the rules and the batches go by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from raybayes.contract import require_entries

Objective = Literal["generative", "weighted", "hybrid", "entropy", "kl-balance", "flowgmm-cons"]


@dataclass(frozen=True)
class Traits:
    """Facts of one objective.

    Args:
        every_class: labelled examples are scored under every class, not only under their own.
        unlabelled: it is about unlabelled examples and needs some in each batch.
        two_views: unlabelled examples come under two augmentations.
        weights: fields of `loss` that it reads.
    """

    every_class: bool = False
    unlabelled: bool = False
    two_views: bool = False
    weights: tuple[str, ...] = ()


OBJECTIVES: dict[Objective, Traits] = {
    "generative": Traits(),
    "weighted": Traits(weights=("label",)),
    "hybrid": Traits(every_class=True, weights=("ce",)),
    "entropy": Traits(unlabelled=True, weights=("entropy",)),
    "kl-balance": Traits(unlabelled=True, weights=("balance", "balance_entropy")),
    "flowgmm-cons": Traits(unlabelled=True, two_views=True, weights=("consistency", "ramp")),
}
require_entries(Objective, OBJECTIVES, "trainables/flows/config/objectives.py: OBJECTIVES")
