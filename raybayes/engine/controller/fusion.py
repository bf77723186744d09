"""Which of the jobs that wait are trained at the same time in one process (`--fuse`)."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from raybayes import catalog
from raybayes.engine.messages import Key, TrialRun
from raybayes.errors import SpecError
from raybayes.search.plan import Plan
from raybayes.spec.sweep_spec import SweepSpec

MEMORYLESS = ("random", "grid")  # samplers that learn nothing from the trials before
LESSONS = 10  # times that a sampler which learns sees results, at least, where the size of a group is ours to choose


class FusionPlanner:
    """Decides by what the project says of its configurations.

    Args:
        spec: what is wanted.
        plan: the rules.
    """

    def __init__(self, spec: SweepSpec, plan: Plan) -> None:
        self._wanted, self._trials = spec.fuse, spec.trials
        self._learns = plan.race is None and spec.sampler.name not in MEMORYLESS
        self._alone: set[Key] = set()
        self._alike: dict[Key, tuple[Hashable, int]] = {}

    def apart(self, key: Key) -> None:
        """A job is trained alone from now on."""
        self._alone.add(key)

    def size(self, job: TrialRun, share: int) -> int:
        """How many jobs, this one included, may be trained together.

        Args:
            share: what would give every slot the same number of the jobs that wait.
        """
        if self._wanted == "never":
            return 1
        alike, most = self._of(job)
        if alike is None:
            return 1
        if self._wanted != "auto":
            return max(1, min(self._wanted, share))
        lesson = max(1, self._trials // LESSONS) if self._learns else most
        return max(1, min(lesson, most, share))

    def like(self, job: TrialRun) -> Callable[[TrialRun], bool]:
        """Whether another job can be trained together with this one."""
        alike, _ = self._of(job)
        return lambda other: self._of(other)[0] == alike

    def _of(self, job: TrialRun) -> tuple[Hashable, int]:
        """What the job has in common with those it can be trained with (None: trained alone), and their number."""
        if job.key in self._alone:
            return None, 1
        if job.key not in self._alike:
            self._alike[job.key] = _asked(job)
        return self._alike[job.key]


def _asked(job: TrialRun) -> tuple[Hashable, int]:
    try:
        project, config = catalog.configured(job.project, job.config, job.roots)
    except SpecError:  # the space allows what the project does not: the trial fails by itself, and says why
        return None, 1
    if project.fusion is None:
        return None, 1
    return project.fusion.alike(config), project.fusion.most(config)
