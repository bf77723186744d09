"""Picks the next run: from those that wait, or of a trial that the sampler is asked for now, or ahead of need."""

from __future__ import annotations

from raybayes.clock import Clock
from raybayes.engine.controller.fusion import FusionPlanner
from raybayes.engine.controller.prefetch import Prefetcher
from raybayes.engine.controller.queue import TrialQueue
from raybayes.engine.controller.state import SweepState
from raybayes.engine.messages import TrialRun
from raybayes.search.plan import Plan
from raybayes.spec.sweep_spec import SweepSpec


class RunPicker:
    """Picks runs, asks for trials, and stores both before it returns them.

    Attributes:
        prefetcher: decides whether to ask ahead of need.
        fusion: decides which runs are trained together.
    """

    def __init__(self, spec: SweepSpec, plan: Plan, state: SweepState, queue: TrialQueue, clock: Clock) -> None:
        self._plan, self._state, self._queue, self._clock = plan, state, queue, clock
        self.prefetcher, self.fusion = Prefetcher(spec), FusionPlanner(spec, plan)

    @property
    def waiting(self) -> int:
        """How many runs could be picked now."""
        return self._queue.count(self._clock.elapsed()) + self._queue.runs_of_new(self._state.remaining)

    @property
    def exhausted(self) -> bool:
        """Whether nothing waits, nothing is in training, and no trial may be asked for."""
        return not (self._queue or self._state.active_count or self._state.remaining)

    def pick(self) -> TrialRun | None:
        """The next run; None: there is none now."""
        if self._plan.race is not None:  # all candidates of a race side by side
            while self._state.remaining:
                self._ask()
        elif self._state.remaining and (
            self._plan.population is not None or not self._queue.count(self._clock.elapsed())
        ):
            self._ask()
        run = self._queue.take(self._clock.elapsed())
        if run is not None:
            self._state.activate(run)
            self._state.flush()
        return run

    def pick_group(self, share: int) -> list[TrialRun]:
        """The next run and those that are trained together with it; empty: there is none now.

        Args:
            share: how many of the waiting runs would give every slot the same number.
        """
        first = self.pick()
        if first is None:
            return []
        runs, size, asked = [first], self.fusion.group_size(first, share), 0
        while len(runs) < size:
            other = self._queue.take(self._clock.elapsed(), self.fusion.matcher(first))
            if other is not None:
                self._state.activate(other)
                runs.append(other)
            elif self._state.remaining and asked < size:
                self._ask()
                asked += 1
            else:
                break
        if len(runs) > 1:  # the first one is on disk already
            self._state.flush()
        return runs

    def ask_ahead(self) -> bool:
        """Ask for one trial that no slot has asked for yet, if that pays; returns whether it did."""
        if self._plan.race is not None or self._plan.population is not None or not self._state.remaining:
            return False
        if not self.prefetcher.pays(self._state.active_count, self._queue.count(self._clock.elapsed())):
            return False
        self._ask()
        return True

    def _ask(self) -> None:
        began = self._clock.elapsed()
        self._queue.add_trial(self._state.ask())
        self.prefetcher.on_suggestion(self._clock.elapsed() - began)
