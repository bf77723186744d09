"""A sweep's controller without Ray: a test plays the workers, or lets them train in this process."""

from __future__ import annotations

from dataclasses import dataclass
from os import PathLike
from types import TracebackType
from typing import Any, Literal

from raybayes import catalog
from raybayes.api import Sweep, open_sweep
from raybayes.clock import VirtualClock
from raybayes.contract import Action
from raybayes.engine.controller.controller import SweepController
from raybayes.engine.messages import Decision, Key, Report, Start, TrialRun
from raybayes.engine.run import work_through
from raybayes.search.progress import Progress
from raybayes.spec.sweep_spec import make_spec
from raybayes.sweeps.execution import write_down
from raybayes.sweeps.preparation import prepare

NODE = "test"


class ControllerHarness:
    """One burst on a sweep, driven by a test: it asks for runs, reports and finishes them as workers would.

    All decisions and all files are those of a real burst. Time is virtual: each report lets its seconds pass.

    Args:
        project: its name in the catalogue.
        storage: the folder that will hold the sweep.
        clock: what the controller takes for time.
        kind: "sweep", or "train" for one run of a fixed configuration.
        options: those of `raybayes.sweep` or `raybayes.train`, such as `trials=4, scheduler="asha"`.

    Raises:
        RaybayesError: the spec is wrong, as on the command line.

    Example:
        >>> with ControllerHarness("slope", storage, trials=9, scheduler="asha") as sweep:    # doctest: +SKIP
        ...     while (run := sweep.ask()) is not None:
        ...         for step in range(1, 10):
        ...             if sweep.report(run, {"loss": run.config["lr"] / step}) is not Action.CONTINUE:
        ...                 break
        ...         sweep.finish(run)
        >>> sweep.results.trials["state"].to_pylist()                                         # doctest: +SKIP
        ['COMPLETE', 'PRUNED', ...]
    """

    def __init__(
        self,
        project: str,
        storage: str | PathLike[str],
        *,
        clock: VirtualClock | None = None,
        kind: Literal["sweep", "train"] = "sweep",
        **options: Any,
    ) -> None:
        self.clock = clock if clock is not None else VirtualClock()
        values = {"project": project, "storage": storage, "name": "harness", **options}
        fixed: dict[str, Any] = {"trials": 1, "sampler": "random"} if kind == "train" else {}
        prepared = prepare(make_spec(kind, values, kind, kind=kind, **fixed))
        self._layout, self._resources = prepared.layout, prepared.spec.resources
        self._controller = _ObservedController(
            prepared.layout, prepared.spec, prepared.plan, catalog.roots(), clock=self.clock
        )
        write_down(prepared)
        self._workers: dict[Key, _Worker] = {}
        self._last: Progress | None = None  # once the burst is closed

    def __enter__(self) -> ControllerHarness:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def controller(self) -> SweepController:
        """The controller itself, for what the harness has no shorter word for."""
        return self._controller

    @property
    def path(self) -> str:
        """The sweep's folder."""
        return self._layout.storage.display

    @property
    def results(self) -> Sweep:
        """The sweep as it is on disk now."""
        return open_sweep(self.path)

    @property
    def fused(self) -> tuple[int, ...]:
        """How many runs were handed out together, one number per time."""
        return tuple(self._controller.fused)

    def ask(self) -> TrialRun | None:
        """The next run, begun by a worker; None: nothing can start now."""
        run = self._controller.next_run()
        if run is not None:
            self._workers[run.key] = _Worker(self._controller.start_run(run.key, NODE).attempt)
        return run

    def report(self, run: TrialRun, metrics: dict[str, float], seconds: float = 1.0, last: bool = False) -> Action:
        """One step of a run after `seconds` of training; what the controller answers."""
        self.clock.advance(seconds)
        worker = self._workers[run.key]
        worker.step += 1
        worker.seconds += seconds
        found = Report(
            worker.step, worker.attempt, worker.seconds, metrics, last, node=NODE, time=self.clock.now()
        )  # fmt: skip
        return self._controller.on_report(run.key, found).action

    def finish(self, run: TrialRun, error: str | None = None) -> None:
        """The training function of a run has returned, or raised `error`."""
        self._controller.finish(run.key, error)

    def lose(self, run: TrialRun, reason: str = "its process died") -> None:
        """The process of a run is gone: it starts again in another one, or fails after its retries."""
        self._controller.on_worker_lost(run.key, reason)

    def train(self, until: int | None = None) -> Progress:
        """Train everything with the project's own function in this process; the progress at the end.

        Args:
            until: the step at which the burst stops, as at a signal: each run writes a checkpoint and pauses.
        """
        self._controller.stop_at = until
        work_through(self._controller, self._resources, lambda progress: None)
        return self.progress()

    def stop(self) -> None:
        """No further runs; each running one pauses at its next report."""
        self._controller.stop()

    def progress(self) -> Progress:
        """Counts of trials by state, and what runs now."""
        return self._last or self._controller.progress()

    def close(self) -> Progress:
        """Pause what is unfinished and write the tables; another burst may work on the sweep from now on."""
        if self._last is None:
            self._last = self._controller.close()
        return self._last


@dataclass
class _Worker:
    """How far a played worker has come."""

    attempt: int
    step: int = 0
    seconds: float = 0.0


class _ObservedController(SweepController):
    """A controller that stops at a step, and counts what it hands out together."""

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.stop_at: int | None = None
        self.fused: list[int] = []

    def next_runs(self, share: int) -> list[TrialRun]:
        runs = super().next_runs(share)
        if len(runs) > 1:
            self.fused.append(len(runs))
        return runs

    def on_report(self, key: Key, report: Report) -> Decision:
        if report.step == self.stop_at:
            self.stop()
        return super().on_report(key, report)


class RecordingController:
    """Answers CONTINUE to every report and keeps its metrics: for a test of a worker alone."""

    def __init__(self) -> None:
        self.reports: list[dict[str, float]] = []

    def start_run(self, key: Key, node: str) -> Start:
        return Start(1)

    def on_report(self, key: Key, report: Report) -> Decision:
        self.reports.append(report.metrics)
        return Decision()

    def before_checkpoint(self, key: Key, step: int) -> None:
        """Nothing has to be on disk before a checkpoint."""
