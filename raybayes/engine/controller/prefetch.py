"""Decides whether to ask the sampler before a slot asks for a run, so that no slot waits for a suggestion."""

from __future__ import annotations

from raybayes.spec.sweep_spec import SweepSpec

# Samplers that take running and waiting trials into account, or need no results at all.
PREFETCHABLE = ("tpe", "gp", "random", "grid")
WORTH = 0.02  # share of a run's time that a suggestion must take: below it, deciding on older results does not pay
_WEIGHT = 0.1  # of the newest measurement in the running means


class Prefetcher:
    """Decides from how long suggestions and runs have taken so far."""

    def __init__(self, spec: SweepSpec) -> None:
        self._mode, self._possible = spec.ask_ahead, spec.sampler.name in PREFETCHABLE
        self._suggestion_s: float | None = None
        self._training_s: float | None = None

    def on_suggestion(self, seconds: float) -> None:
        """Take in how long a suggestion took."""
        self._suggestion_s = _mean(self._suggestion_s, seconds)

    def on_run_end(self, seconds: float) -> None:
        """Take in how long a run has trained."""
        self._training_s = _mean(self._training_s, seconds)

    def pays(self, active: int, waiting: int) -> bool:
        """Whether to ask for one more trial now: at most one waits per active run, and only if that saves time.

        With a single active run it never pays by itself: the sweep then depends on its seed alone.
        """
        if self._mode == "never" or not self._possible or waiting >= active:
            return False
        if self._mode == "always":
            return True
        if active < 2 or self._suggestion_s is None or self._training_s is None:
            return False
        return self._suggestion_s > WORTH * self._training_s


def _mean(before: float | None, new: float) -> float:
    return new if before is None else before + _WEIGHT * (new - before)
