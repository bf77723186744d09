"""What is known of each estimator before anything runs: the facts that the rules, the budget and fusion go by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from raybayes.contract import require_entries

EstimatorName = Literal[
    "exact",
    "reinforce",
    "reinforce_ema",
    "reinforce_best",
    "rloo",
    "t_reinforce",
    "t_reinforce_plus",
    "e_reinforce",
    "e_reinforce_ema",
    "e_reinforce_plus",
    "unordered",
    "cross_entropy",
    "rebar",
    "rebar_centred",
    "relax",
    "relax_centred",
    "relaxation",
    "straight_through",
    "sinkhorn",
    "gaussian",
]


@dataclass(frozen=True)
class Traits:
    """Facts of one estimator.

    Args:
        leaves_one_out: the mean of an update's other samples is its baseline, so it needs 2 samples or more.
        control_variate: it trains a control variate, whose warm-up and extra steps spend evaluations too.
        critic: a network is a part of that control variate.
        relaxed: it always needs the cost's extension to soft permutations.
        own_model: it fixes the family of distributions, so `model` must keep its default.
        order_score: it multiplies costs by the score of the order, to which log p(order) can be added (`entropy`).
        distinct: an update's samples are different orders.
        elite: it moves towards the best of an update's samples.
    """

    leaves_one_out: bool = False
    control_variate: bool = False
    critic: bool = False
    relaxed: bool = False
    own_model: bool = False
    order_score: bool = False
    distinct: bool = False
    elite: bool = False

    @property
    def several(self) -> bool:
        """Whether it needs 2 samples or more in an update."""
        return self.leaves_one_out or self.distinct or self.elite


ESTIMATORS: dict[EstimatorName, Traits] = {
    "exact": Traits(own_model=True),
    "reinforce": Traits(order_score=True),
    "reinforce_ema": Traits(order_score=True),
    "reinforce_best": Traits(order_score=True),
    "rloo": Traits(leaves_one_out=True, order_score=True),
    "t_reinforce": Traits(order_score=True),
    "t_reinforce_plus": Traits(leaves_one_out=True, order_score=True),
    "e_reinforce": Traits(),
    "e_reinforce_ema": Traits(),
    "e_reinforce_plus": Traits(leaves_one_out=True),
    "unordered": Traits(own_model=True, distinct=True),
    "cross_entropy": Traits(elite=True),
    "rebar": Traits(control_variate=True),
    "rebar_centred": Traits(control_variate=True),
    "relax": Traits(control_variate=True, critic=True),
    "relax_centred": Traits(control_variate=True, critic=True),
    "relaxation": Traits(relaxed=True, own_model=True),
    "straight_through": Traits(relaxed=True, own_model=True),
    "sinkhorn": Traits(relaxed=True, own_model=True),
    "gaussian": Traits(own_model=True),
}
require_entries(EstimatorName, ESTIMATORS, "trainables/permutations/config/estimators.py: ESTIMATORS")
