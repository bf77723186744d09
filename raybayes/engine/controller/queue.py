"""The jobs of a burst that wait for a worker."""

from __future__ import annotations

from collections.abc import Callable

from raybayes.engine.controller.state import SweepState
from raybayes.engine.messages import Key, TrialRun
from raybayes.search.plan import Plan
from raybayes.spec.sweep_spec import SweepSpec
from raybayes.store.layout import Layout


class TrialQueue:
    """Who comes next.

    Args:
        reached: for each trial that was put back into the line, the step at which it was.
    """

    def __init__(self, layout: Layout, spec: SweepSpec, plan: Plan, roots: tuple[str, ...], state: SweepState) -> None:
        self._layout, self._spec, self._plan, self._roots, self._state = layout, spec, plan, roots, state
        self._jobs: list[TrialRun] = []
        self._resting: dict[Key, float] = {}  # jobs that were lost, and when they may go on
        self.reached: dict[int, int] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def trials(self) -> list[int]:
        """The trial of each job that waits."""
        return [job.trial for job in self._jobs]

    def repeats(self, number: int) -> set[int]:
        """Which repeats of a trial wait."""
        return {job.repeat for job in self._jobs if job.trial == number}

    def enter(self, number: int) -> None:
        """All repeats of a trial that are not done."""
        for repeat in range(self._spec.repeats):
            if repeat not in self._state.done[number]:
                self._jobs.append(self.job(number, repeat))
                if self._spec.scheduler.name != "none" and not self._state.done[number]:
                    return  # the scheduler judges the first repeat; the others follow if it survives

    def job(self, number: int, repeat: int) -> TrialRun:
        return TrialRun(
            project=self._spec.project,
            config={**self._spec.config, **self._state.params[number]},
            trial=number,
            repeat=repeat,
            seed=self._spec.seed,
            storage=self._layout.storage,
            checkpoint_every=self._spec.checkpoint_every,
            data=self._spec.data,
            roots=self._roots,
        )

    def of(self, trials: int) -> int:
        """How many jobs new trials will make at once."""
        return trials * (self._spec.repeats if self._spec.scheduler.name == "none" else 1)

    def append(self, job: TrialRun) -> None:
        self._jobs.append(job)

    def put_back(self, job: TrialRun, until: float) -> None:
        """The worker of a job was lost: it comes first, but not before `until`."""
        self._jobs.insert(0, job)
        self._resting[job.key] = until

    def count(self, now: float) -> int:
        """How many jobs may be taken."""
        return sum(self._resting.get(job.key, now) <= now for job in self._jobs)

    def drop(self, number: int) -> None:
        """Forget the jobs of a trial that has ended."""
        self._jobs = [job for job in self._jobs if job.trial != number]

    def take(self, now: float, fits: Callable[[TrialRun], bool] = lambda job: True) -> TrialRun | None:
        """The next job that may be taken and fits."""
        if self._plan.race is not None:  # the first seed of each candidate before the second of any
            self._jobs.sort(key=lambda job: (job.repeat, job.trial))
        if self._plan.population is not None:  # the member that is furthest behind, so that all stay side by side
            self._jobs.sort(key=lambda job: self.reached.get(job.trial, 0))
        for place, job in enumerate(self._jobs):
            if self._resting.get(job.key, now) <= now and fits(job):
                self._resting.pop(job.key, None)
                return self._jobs.pop(place)
        return None
