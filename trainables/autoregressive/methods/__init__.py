"""Training methods: cost-sensitive training and its baselines."""

from __future__ import annotations

from collections.abc import Callable

from raybayes.contract import require_entries
from trainables.autoregressive.config import Method
from trainables.autoregressive.methods.likelihood import maximum_likelihood, scheduled_sampling
from trainables.autoregressive.methods.searnn import optimal_completion, searnn
from trainables.autoregressive.methods.sequences import minimum_risk, mixer, reinforce, self_critical
from trainables.autoregressive.methods.step import Outcome, Step

METHODS: dict[Method, Callable[[Step], Outcome]] = {
    "searnn": searnn,
    "mle": maximum_likelihood,
    "scheduled_sampling": scheduled_sampling,
    "reinforce": reinforce,
    "self_critical": self_critical,
    "mixer": mixer,
    "minimum_risk": minimum_risk,
    "ocd": optimal_completion,
}

require_entries(Method, METHODS, "trainables/autoregressive/methods/__init__.py: METHODS")

__all__ = ["METHODS", "Outcome", "Step"]
