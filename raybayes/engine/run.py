"""One burst from its first job to its last, on Ray or in this process, with signals and progress looked after."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

from raybayes.clock import WALL
from raybayes.engine.controller.controller import SweepController
from raybayes.engine.monitor import Monitor
from raybayes.errors import ClusterError, StoreError
from raybayes.search.plan import Plan
from raybayes.search.progress import Progress
from raybayes.spec.sweep_spec import SweepSpec
from raybayes.store.layout import Layout

if TYPE_CHECKING:
    from raybayes.engine.on_ray.connect import Cluster

Watch = Callable[[Progress], None]
POLL_S = 0.5
PREDECESSOR_S = 8.0  # a burst whose driver was killed lets go of the sweep within a few seconds


class Interrupt:
    """Whether SIGINT, SIGTERM, SIGUSR1 or the wall time has asked the burst to end. A second SIGINT ends it at once.

    Args:
        until: when the wall time is over, on WALL's elapsed time; then it is as if SIGALRM had come.
    """

    def __init__(self, until: float | None = None) -> None:
        self.asked = threading.Event()
        self.signal: signal.Signals | None = None  # the first one that asked
        self._until = until
        self._then: Callable[[], None] | None = None

    def then(self, action: Callable[[], None]) -> None:
        """What to do at the signal, in the main thread."""
        self._then = action

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked.is_set() and number == signal.SIGINT:
            raise KeyboardInterrupt
        self._ask(signal.Signals(number))

    def _ask(self, number: signal.Signals) -> None:
        self.signal = self.signal or number
        self.asked.set()
        if self._then is not None:
            self._then()

    @contextlib.contextmanager
    def listening(self) -> Iterator[Interrupt]:
        """Take the signals over for a while (only the main thread can), and watch the wall time."""
        left_s = 0.0 if self._until is None else max(0.0, self._until - WALL.elapsed())
        timer = threading.Timer(left_s, self._ask, [signal.SIGALRM])
        timer.daemon = True
        if self._until is not None:
            timer.start()
        main = threading.current_thread() is threading.main_thread()
        numbers = [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1] if main else []
        before = {number: signal.signal(number, self._handle) for number in numbers}
        try:
            yield self
        finally:
            timer.cancel()
            for number, handler in before.items():
                signal.signal(number, handler)


def run_locally(
    layout: Layout,
    spec: SweepSpec,
    plan: Plan,
    roots: tuple[str, ...],
    watch: Watch,
    until: float | None = None,
) -> tuple[Progress, signal.Signals | None]:
    """A burst in this process, without Ray. Returns the final progress and the signal that ended it, if one did."""
    from raybayes.engine.in_process import work_through

    controller = SweepController(layout, spec, plan, roots, PREDECESSOR_S)
    interrupt = Interrupt(until)
    interrupt.then(controller.stop)
    names = [objective.name for objective in plan.objectives]

    def pulse() -> None:
        with contextlib.suppress(StoreError):  # the main thread says it if the sweep was lost
            controller.progress()

    with Monitor(layout, names, pulse=pulse):
        try:
            with interrupt.listening():
                work_through(controller, spec.resources, watch)
        finally:
            last = controller.close()
    watch(last)
    return last, interrupt.signal


def run_on_ray(
    layout: Layout,
    spec: SweepSpec,
    plan: Plan,
    roots: tuple[str, ...],
    watch: Watch,
    before: Callable[[], None] = lambda: None,
    until: float | None = None,
) -> tuple[Progress, signal.Signals | None]:
    """A burst on Ray.

    Args:
        before: called once the machines are known to be able to do it, before anything is written.
        until: when the wall time is over, as in `Interrupt`; none: never.

    Returns:
        The final progress, and the signal that ended the burst, if one did.
    """
    from raybayes.engine.on_ray import connect as machines

    with machines.connected(spec.resources, about(layout, spec)) as cluster:
        before()
        import ray

        from raybayes.engine.on_ray.controller_actor import start_controller

        slot_limit = machines.slot_limit_of(cluster.nodes, spec)
        controller = start_controller(layout, spec, plan, roots, slot_limit, PREDECESSOR_S, not cluster.private)
        interrupt = Interrupt(until)
        with _witnessed(layout, plan, cluster.private, watch) as seen:
            with interrupt.listening(), _watched(controller, interrupt, seen):
                _at_work(controller, spec, layout, cluster)
            last = _closed(controller)
        ray.kill(controller)
    watch(last)
    return last, interrupt.signal


def _closed(controller: Any) -> Progress:
    """Close the desk; its final progress."""
    import ray

    try:
        last: Progress = ray.get(controller.close.remote())
    except ray.exceptions.RayError as error:
        reason = str(error).strip().splitlines()[0]
        raise ClusterError(f"the sweep's desk was lost ({reason}); all is stored, go on with resume.") from None
    return last


def about(layout: Layout, spec: SweepSpec) -> dict[str, str]:
    """The metadata of the Ray job that works on a sweep; `job_name` is Ray's own word for what to call it."""
    return {
        "job_name": f"raybayes {spec.kind} {layout.name}",
        "raybayes_project": spec.project,
        "raybayes_storage": layout.storage.display,
        "raybayes_trials": str(spec.trials),
        "raybayes_search": f"{spec.sampler}, {spec.scheduler}",
    }


@contextlib.contextmanager
def _witnessed(layout: Layout, plan: Plan, private: bool, watch: Watch) -> Iterator[Watch]:
    """Keep those informed who watch from elsewhere; on a shared Ray its metrics too. Gives what to tell progress to."""
    from raybayes.engine.on_ray.usage import usage

    names = [objective.name for objective in plan.objectives]
    if private:  # nobody scrapes a Ray that ends with the burst
        with Monitor(layout, names, usage=lambda: usage(True)):
            yield watch
        return
    from raybayes.engine.on_ray.metrics import RayMetrics

    metrics = RayMetrics(layout.name, names[0])

    def both(progress: Progress) -> None:
        metrics.progress(progress)
        watch(progress)

    with Monitor(layout, names, usage=lambda: usage(False), told=metrics.reports):
        yield both


def _at_work(controller: Any, spec: SweepSpec, layout: Layout, cluster: Cluster) -> None:
    """All jobs of the burst."""
    import ray

    from raybayes.engine.on_ray.tune import run_trials

    try:
        if spec.kind == "train":
            _beside(lambda: _train(controller, spec, layout))
        else:
            _beside(lambda: run_trials(controller, spec, layout.storage, cluster))
    except StoreError:  # the disk is full, say; what can still be written is
        with contextlib.suppress(ray.exceptions.RayError):
            ray.get(controller.close.remote())
        raise


def _train(controller: Any, spec: SweepSpec, layout: Layout) -> None:
    """The one job of a run, on a Ray Train group; on another one, as often as the retries allow, if that is lost."""
    import ray

    from raybayes.engine.on_ray.train import serve_in_group

    over = False
    while not over:
        slot, over = ray.get(controller.open_slot.remote())
        if slot is None:
            time.sleep(0.1)
            continue
        lost = serve_in_group(slot, controller, spec, layout.storage)
        ray.get(controller.close_slot.remote(slot, lost or "its workers have left"))
    problem = ray.get(controller.problem.remote())
    if problem is not None:
        raise problem


def _beside(work: Callable[[], None]) -> None:
    """Run `work` in a thread, and wait for it here, where signals arrive.

    In the main thread Train takes SIGINT over, and Tune SIGUSR1: it would drop the running trials at a batch
    system's warning, where they have a checkpoint to write.
    """
    failure: list[BaseException] = []

    def guarded() -> None:
        try:
            work()
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=guarded, daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.2)
    if failure:
        raise failure[0]


@contextlib.contextmanager
def _watched(controller: Any, interrupt: Interrupt, watch: Watch) -> Iterator[None]:
    """Poll the desk for progress, and pass a signal on to it."""
    import ray

    from raybayes.engine.on_ray.watchdog import stop_hanging

    ended = threading.Event()

    def poll() -> None:
        told, shown = False, 0.0
        while not ended.wait(0.1):
            with contextlib.suppress(ray.exceptions.RayError):  # the main thread says it if the desk is gone
                if interrupt.asked.is_set() and not told:
                    ray.get(controller.stop.remote())
                    told = True
                if time.monotonic() - shown >= POLL_S:
                    shown = time.monotonic()
                    stop_hanging(controller)
                    watch(ray.get(controller.progress.remote()))

    thread = threading.Thread(target=poll, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join(5)
