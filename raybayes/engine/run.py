"""One burst from its first run to its last, in this process or on Ray: the main loop of the engine."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from raybayes.clock import WALL
from raybayes.engine.background import Background
from raybayes.engine.controller.controller import SweepController
from raybayes.engine.interrupt import Interrupt
from raybayes.engine.monitor import Monitor
from raybayes.errors import StoreError
from raybayes.search.plan import Plan
from raybayes.search.progress import Progress, Watch
from raybayes.spec.sweep_spec import Resources, SweepSpec
from raybayes.store.layout import Layout
from raybayes.training.own import OwnTraining

if TYPE_CHECKING:
    from raybayes.engine.on_ray.connect import Cluster
    from raybayes.engine.on_ray.controller_client import ControllerClient

POLL_S, SHOW_S = 0.1, 0.5  # between two looks at signals, and between two at the burst's progress
PREDECESSOR_S = 8.0  # a burst whose driver was killed releases the sweep within a few seconds
BurstEnd = tuple[Progress, signal.Signals | None]  # the final progress, and the signal that ended the burst, if any


def run_locally(
    layout: Layout, spec: SweepSpec, plan: Plan, roots: tuple[str, ...], watch: Watch, until: float | None = None
) -> BurstEnd:
    """A burst in this process, without Ray.

    Args:
        watch: gets the progress after each run.
        until: when the wall time is over, as in `Interrupt`; None: never.
    """
    watch(Progress(spec.trials, stage="loading PyTorch"))
    from raybayes.engine import in_process  # noqa: F401 - torch is loaded before the time budget starts

    controller = SweepController(layout, spec, plan, roots, PREDECESSOR_S)
    interrupt = Interrupt(until, on_request=controller.stop)

    def flush() -> None:
        with contextlib.suppress(StoreError):  # the main thread raises it if the sweep was lost
            controller.progress()

    with Monitor(layout, _names(plan), flush=flush):
        try:
            with interrupt.listening():
                work_through(controller, spec.resources, interrupt.guarded(watch))
        finally:
            last = controller.close()
    interrupt.guarded(watch)(last)
    return last, interrupt.signal


def work_through(controller: SweepController, resources: Resources, watch: Watch) -> None:
    """The loop of a burst in this process: train one run (or several at the same time) until none is left."""
    from raybayes.engine.in_process import InProcessTrainer  # which imports torch

    trainer = InProcessTrainer(controller, resources, watch)
    while runs := controller.next_runs(controller.waiting):
        trainer.train(runs)


def run_on_ray(
    layout: Layout,
    spec: SweepSpec,
    plan: Plan,
    roots: tuple[str, ...],
    watch: Watch,
    before: Callable[[], None] = lambda: None,
    until: float | None = None,
    training: OwnTraining | None = None,
) -> BurstEnd:
    """A burst on Ray.

    Args:
        watch: gets the progress every half second.
        before: called once it is known that the machines fit, and that `training` reaches them; it may write.
        until: when the wall time is over, as in `Interrupt`; None: never.
        training: what is trained, if it is not in the catalogue.
    """
    from raybayes.engine.on_ray.connect import connect, make_slot_limit, prepare_driver

    private = prepare_driver()
    if training is not None:
        from raybayes.engine.on_ray.travel import require_travels

        require_travels(training)
    watch(Progress(spec.trials, stage="starting Ray" if private else "connecting to Ray"))
    with connect(spec.resources, job_metadata(layout, spec)) as cluster:
        before()
        from raybayes.engine.on_ray.controller_actor import start_controller

        slot_limit = make_slot_limit(cluster.nodes, spec)
        watch(Progress(spec.trials, stage="opening the study"))
        controller = start_controller(layout, spec, plan, roots, slot_limit, PREDECESSOR_S, not cluster.private)
        interrupt = Interrupt(until)
        try:
            with _monitored(layout, plan, cluster.private, watch) as show:
                with interrupt.listening():
                    _supervise(_start_slots(controller, spec, layout, cluster, training), controller, interrupt, show)
                last = controller.close()
        except BaseException:
            controller.abandon()
            raise
        controller.kill()
    interrupt.guarded(watch)(last)
    return last, interrupt.signal


def _supervise(slots: Background, controller: ControllerClient, interrupt: Interrupt, show: Watch) -> None:
    """The loop of a burst on Ray, until its slots have left. They take runs from the controller meanwhile."""
    from raybayes.engine.on_ray.controller_client import tolerate_loss
    from raybayes.engine.on_ray.watchdog import kill_hanging

    stopped, shown = False, WALL.elapsed() - SHOW_S
    while not slots.wait(POLL_S):
        # If the controller is lost, the slots raise it. If the terminal is gone, the sweep continues without it.
        with tolerate_loss(), contextlib.suppress(OSError):
            if interrupt.asked.is_set() and not stopped:
                controller.stop()  # running trials write a checkpoint at their next report, and pause
                stopped = True
            if WALL.elapsed() - shown >= SHOW_S:
                shown = WALL.elapsed()
                kill_hanging(controller)
                show(controller.progress())
    slots.raise_failure()


def _start_slots(
    controller: ControllerClient, spec: SweepSpec, layout: Layout, cluster: Cluster, training: OwnTraining | None
) -> Background:
    """Have Ray Tune (a sweep) or Ray Train (a single run) open slots and train, in a thread."""
    from raybayes.engine.on_ray.controller_client import tolerate_loss

    def work() -> None:
        try:
            if spec.kind == "train":
                from raybayes.engine.on_ray.train import run_training

                run_training(controller, spec, layout.storage, training)
            else:
                from raybayes.engine.on_ray.tune import run_trials

                run_trials(controller, spec, layout.storage, cluster, training)
        except StoreError:  # the disk is full, say; what can still be written is
            with tolerate_loss():
                controller.close()
            raise

    return Background(work)


@contextlib.contextmanager
def _monitored(layout: Layout, plan: Plan, private: bool, watch: Watch) -> Iterator[Watch]:
    """Publish the burst for those who watch it from elsewhere; gives the function that gets its progress."""
    from raybayes.engine.on_ray.usage import measure_usage

    if private:  # nobody reads the metrics of a Ray that ends with the burst
        with Monitor(layout, _names(plan), measure_usage=lambda: measure_usage(True)):
            yield watch
        return
    from raybayes.engine.on_ray.metrics import RayMetrics

    metrics = RayMetrics(layout.name, _names(plan)[0])

    def show(progress: Progress) -> None:
        metrics.on_progress(progress)
        watch(progress)

    with Monitor(layout, _names(plan), measure_usage=lambda: measure_usage(False), on_reports=metrics.on_reports):
        yield show


def _names(plan: Plan) -> list[str]:
    return [objective.name for objective in plan.objectives]


def job_metadata(layout: Layout, spec: SweepSpec) -> dict[str, str]:
    """What Ray's dashboard says about the job that works on a sweep; `job_name` is Ray's own key for its name."""
    return {
        "job_name": f"raybayes {spec.kind} {layout.name}",
        "raybayes_project": spec.project,
        "raybayes_storage": layout.storage.display,
        "raybayes_trials": str(spec.trials),
        "raybayes_search": f"{spec.sampler}, {spec.scheduler}",
    }
