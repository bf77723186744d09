"""Whether a configuration is looked for before a slot asks for it, so that no slot waits for the sampler."""

from __future__ import annotations

from raybayes.spec.sweep_spec import SweepSpec

# What they suggest takes the trials that are running, or waiting to run, into account, or needs no trials at all.
FORESEEING = ("tpe", "gp", "random", "grid")
SHARE = 0.02  # of a trial's time: below it, looking for its configuration is not worth the older knowledge
_WEIGHT = 0.1  # of the newest measurement in the means


class Prefetcher:
    """Decides from what looking for a configuration and training it have taken so far."""

    def __init__(self, spec: SweepSpec) -> None:
        self._mode, self._able = spec.ask_ahead, spec.sampler.name in FORESEEING
        self._asking_s: float | None = None
        self._training_s: float | None = None

    def asked(self, seconds: float) -> None:
        """A configuration was found in so many seconds."""
        self._asking_s = _mean(self._asking_s, seconds)

    def trained(self, seconds: float) -> None:
        """A job was trained in so many seconds."""
        self._training_s = _mean(self._training_s, seconds)

    def pays(self, live: int, waiting: int) -> bool:
        """Whether to look for one more: one waits for each slot at work, if that saves a notable part of its time.

        A single slot always waits: what it gets then depends on the seed alone.
        """
        if self._mode == "never" or not self._able or waiting >= live:
            return False
        if self._mode == "always":
            return True
        if live < 2 or self._asking_s is None or self._training_s is None:
            return False
        return self._asking_s > SHARE * self._training_s


def _mean(before: float | None, new: float) -> float:
    return new if before is None else before + _WEIGHT * (new - before)
