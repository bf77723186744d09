"""How much the members of an ensemble differ, in one pass over them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from trainables.ensembles.metrics.scores import Array, Targets, brier, error
from trainables.ensembles.metrics.uncertainty import entropy


@dataclass
class RunningDiversity:
    """Sums over the members so far, from which every measure is computed.

    Args:
        count: members so far.
        votes: (n, classes) number of members that chose each class.
        entropies: (n,) sum of the members' entropies.
        errors: sum of the members' errors.
        briers: sum of the members' Brier scores.
    """

    count: int = 0
    votes: NDArray[np.int64] | None = None
    entropies: Array | None = None
    errors: float = 0.0
    briers: float = 0.0

    def add(self, lp: ArrayLike, targets: Targets) -> None:
        """Add one member's (n, classes) log-probabilities; targets (n,)."""
        p = np.asarray(lp, np.float64)
        chosen = np.zeros(p.shape, np.int64)
        chosen[np.arange(len(p)), p.argmax(axis=1)] = 1
        self.votes = chosen if self.votes is None else self.votes + chosen
        self.entropies = entropy(p) if self.entropies is None else self.entropies + entropy(p)
        self.errors += error(p, targets)
        self.briers += brier(p, targets)
        self.count += 1

    def mutual_information(self, average: Array) -> Array:
        """H(mean_k p_k) - mean_k H(p_k) of each object in nats, (n,), given the log-probabilities of the ensemble.

        Raises:
            ValueError: there is no member yet.
        """
        if self.entropies is None:
            raise ValueError("the ensemble has no member yet; add one first")
        found: Array = entropy(average) - self.entropies / self.count
        return found

    def measures(self, average: Array, targets: Targets) -> dict[str, float]:
        """Measures of how much the members so far differ.

        Args:
            average: (n, classes) log-probabilities of the ensemble.
            targets: (n,) classes.

        Returns:
            disagreement: mean share of pairs of members that choose different classes (0 for one member).
            mutual_information: mean over objects, in nats.
            member_error, member_brier: means over members.
            ambiguity: member_brier minus the ensemble's Brier score = mean_k |p_k - mean p|^2 (Krogh, Vedelsby 1994).
        """
        if self.votes is None:
            raise ValueError("the ensemble has no member yet; add one first")
        pairs = self.count * (self.count - 1)
        agreeing = (self.votes * (self.votes - 1)).sum(axis=1)
        return {
            "disagreement": float(1 - agreeing.mean() / pairs) if pairs else 0.0,
            "mutual_information": float(self.mutual_information(average).mean()),
            "member_error": self.errors / self.count,
            "member_brier": self.briers / self.count,
            "ambiguity": self.briers / self.count - brier(average, targets),
        }
