"""The replay executor: simulated workers on a virtual clock, a function in place of the training.

The controller, the study, samplers, schedulers and the store are those of a real sweep; only time passes differently.
Events are handled in the order of their virtual times, so a replay with the same seed and number of workers gives the
same events, one by one.
"""

from __future__ import annotations

import heapq
import itertools
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from raybayes.clock import VirtualClock
from raybayes.contract import Action
from raybayes.engine.controller.controller import SweepController
from raybayes.engine.messages import Report, TrialRun, describe_error

Curve = Iterator[Mapping[str, float]]
Function = Callable[[TrialRun], Curve]
SECONDS = "seconds"  # the key of a report that says how long it took
_END = {Action.CONTINUE: "complete", Action.PRUNE: "pruned", Action.FAIL: "failed", Action.PAUSE: "paused"}


@dataclass(frozen=True)
class Event:
    """One thing that happened: a trial starts on a worker, reports, or ends there.

    Args:
        time: virtual seconds since the start.
        kind: "start", "report", "complete", "pruned", "failed" or "paused".
        values: the metrics of a report.
    """

    time: float
    worker: int
    trial: int
    repeat: int
    kind: str
    step: int
    values: dict[str, float] = field(default_factory=dict)


@dataclass
class _Training:
    """What a simulated worker is doing."""

    run: TrialRun
    attempt: int
    curve: Curve
    step: int
    seconds: float
    ahead: Mapping[str, float] | None = None  # the next report, drawn early to know which one is the last
    error: str | None = None

    def draw(self) -> None:
        """Take the next report from the curve; if the function raises, its error is kept for the end of the run."""
        try:
            self.ahead = next(self.curve, None)
        except Exception as error:
            self.ahead, self.error = None, describe_error(error)


class Replay:
    """Simulated workers of a burst.

    Args:
        controller: of the sweep, on the same clock.
        function: from a run to its reports, each a mapping of metrics, with "seconds" if it took other than 1.
        workers: how many train at once.
        reached: the step and seconds that a paused run had reached, by (trial, repeat).
        charge: let the CPU time that the controller needs for an answer pass on the virtual clock too, answers one
            after the other, as measuring utilisation needs it. The replay then depends on the machine.

    Attributes:
        events: what happened, in order.
        trained: when a worker was training: from, until.
        driver_s: CPU seconds that the controller has needed.
        last_start: when the last run started.
    """

    def __init__(
        self,
        controller: SweepController,
        clock: VirtualClock,
        function: Function,
        workers: int,
        reached: Mapping[tuple[int, int], tuple[int, float]],
        charge: bool = False,
    ) -> None:
        self._controller, self._clock, self._function, self._charge = controller, clock, function, charge
        self._reached = dict(reached)
        self._idle = list(range(workers))
        self._queue: list[tuple[float, int, int, _Training]] = []
        self._count = itertools.count()
        self._driver_free = clock.elapsed()
        self.events: list[Event] = []
        self.trained: list[tuple[float, float]] = []
        self.driver_s = 0.0
        self.last_start = clock.elapsed()

    def run(self) -> None:
        """Work until no run is left. An error that the function raises fails its trial, as in a real sweep."""
        self._hand_out()
        while self._queue:
            at, _, worker, training = heapq.heappop(self._queue)
            self._clock.advance(max(0.0, at - self._clock.elapsed()))
            if training.ahead is None:
                self._finish(worker, training, Action.CONTINUE)
            else:
                self._report(worker, training, training.ahead)

    def _ask(self, call: Callable[..., Any], *arguments: Any) -> tuple[Any, float]:
        """The controller's answer, and the virtual time at which the worker gets it."""
        began = time.process_time()  # not wall time, in which other programs run too
        answer = call(*arguments)
        took = time.process_time() - began
        self.driver_s += took
        if not self._charge:
            return answer, self._clock.elapsed()
        self._driver_free = max(self._driver_free, self._clock.elapsed()) + took
        return answer, self._driver_free

    def _hand_out(self) -> None:
        while self._idle:
            run, at = self._ask(self._controller.next_run)
            if run is None:
                return
            self.last_start = self._clock.elapsed()
            self._begin(self._idle.pop(0), run, at)
            while self._controller.ask_ahead():  # not charged: it happens while the workers train
                pass

    def _begin(self, worker: int, run: TrialRun, at: float) -> None:
        attempt = self._controller.start_run(run.key, f"worker-{worker}").attempt
        step, seconds = self._reached.get(run.key, (0, 0.0))
        training = _Training(run, attempt, itertools.islice(self._function(run), step, None), step, seconds)
        training.draw()
        self._note(worker, training, "start")
        self._wait(worker, training, at)

    def _wait(self, worker: int, training: _Training, at: float) -> None:
        """Schedule the next report; a run that has none left ends now."""
        took = 0.0 if training.ahead is None else float(training.ahead.get(SECONDS, 1.0))
        self.trained.append((at, at + took))
        heapq.heappush(self._queue, (at + took, next(self._count), worker, training))

    def _report(self, worker: int, training: _Training, now: Mapping[str, float]) -> None:
        training.draw()
        training.step += 1
        training.seconds += float(now.get(SECONDS, 1.0))
        values = {name: float(value) for name, value in now.items() if name != SECONDS}
        last = training.ahead is None and training.error is None
        report = Report(
            training.step, training.attempt, training.seconds, values, last,
            node=f"worker-{worker}", time=self._clock.now(),
        )  # fmt: skip
        decision, at = self._ask(self._controller.on_report, training.run.key, report)
        self._note(worker, training, "report", values)
        if decision.action is Action.CONTINUE:
            self._wait(worker, training, at)
        else:
            training.error = None  # it would have been raised later
            self._finish(worker, training, decision.action)

    def _finish(self, worker: int, training: _Training, action: Action) -> None:
        self._reached[training.run.key] = (training.step, training.seconds)
        self._ask(self._controller.finish, training.run.key, training.error)
        self._note(worker, training, "failed" if training.error else _END[action])
        self._idle = sorted([*self._idle, worker])
        self._hand_out()

    def _note(self, worker: int, training: _Training, kind: str, values: dict[str, float] | None = None) -> None:
        trial, repeat = training.run.key
        self.events.append(Event(self._clock.elapsed(), worker, trial, repeat, kind, training.step, values or {}))
