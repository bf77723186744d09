"""Decides which waiting runs are trained at the same time in one process (`--fuse`)."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from raybayes import catalog
from raybayes.engine.messages import Key, TrialRun
from raybayes.errors import SpecError
from raybayes.search.plan import Plan
from raybayes.spec.sweep_spec import SweepSpec

MEMORYLESS = ("random", "grid")  # samplers that do not learn from earlier trials
MIN_UPDATES = 10  # `auto` keeps groups so small that a sampler which learns sees results at least so many times


class FusionPlanner:
    """Decides by what the project says about its configurations.

    Args:
        spec: what is wanted.
        plan: the rules of the search.
    """

    def __init__(self, spec: SweepSpec, plan: Plan) -> None:
        self._wanted, self._trials = spec.fuse, spec.trials
        self._learns = plan.race is None and spec.sampler.name not in MEMORYLESS
        self._unfused: set[Key] = set()
        self._groups: dict[Key, tuple[Hashable, int]] = {}

    def unfuse(self, key: Key) -> None:
        """Have a run trained alone from now on."""
        self._unfused.add(key)

    def group_size(self, run: TrialRun, share: int) -> int:
        """How many runs, this one included, are trained together.

        Args:
            share: how many of the waiting runs would give every slot the same number.
        """
        if self._wanted == "never":
            return 1
        group, most = self._group_of(run)
        if group is None:
            return 1
        if self._wanted != "auto":
            return max(1, min(self._wanted, share))
        update = max(1, self._trials // MIN_UPDATES) if self._learns else most
        return max(1, min(update, most, share))

    def matcher(self, run: TrialRun) -> Callable[[TrialRun], bool]:
        """A function that says whether another run can be trained together with this one."""
        group, _ = self._group_of(run)
        return lambda other: self._group_of(other)[0] == group

    def _group_of(self, run: TrialRun) -> tuple[Hashable, int]:
        """What a run shares with those it can be trained with (None: trained alone), and the size of a group."""
        if run.key in self._unfused:
            return None, 1
        if run.key not in self._groups:
            self._groups[run.key] = _ask_project(run)
        return self._groups[run.key]


def _ask_project(run: TrialRun) -> tuple[Hashable, int]:
    try:
        project, config = catalog.configured(run.project, run.config, run.roots)
    except SpecError:  # the space allows what the project refuses: the trial fails by itself, with the reason
        return None, 1
    if project.fusion is None:
        return None, 1
    return project.fusion.alike(config), project.fusion.most(config)
