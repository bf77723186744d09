"""Bursts on sweeps of the tests' project whose controller a test hands in; here, or with simulated workers."""

from collections.abc import Callable
from typing import Any

from raybayes import catalog
from raybayes.clock import WALL, Clock, VirtualClock
from raybayes.engine.controller.controller import SweepController
from raybayes.engine.run import work_through
from raybayes.engine.simulated import Function, Replay
from raybayes.spec.sweep_spec import SweepSpec
from raybayes.spec.validation import build
from raybayes.store.logs.reports import read_reports
from raybayes.sweeps.execution import write_down
from raybayes.sweeps.preparation import Prepared, prepare

Kind = Callable[..., SweepController]


def prepare_sweep(folder: Any, name: str = "s", **options: Any) -> Prepared:
    """A sweep of parabola, written to its folder; the same again if it is there."""
    values = {"project": "parabola", "sampler": "random", "storage": str(folder), "name": name, **options}
    prepared = prepare(build(SweepSpec, values, "test"))
    write_down(prepared)
    return prepared


def open_burst(prepared: Prepared, kind: Kind = SweepController, clock: Clock = WALL) -> SweepController:
    """A controller of some kind that works on the sweep now."""
    return kind(prepared.layout, prepared.spec, prepared.plan, catalog.roots(), clock=clock)


def train_here(prepared: Prepared, kind: Kind = SweepController) -> SweepController:
    """A burst in this process, until no run is left; it is not closed."""
    controller = open_burst(prepared, kind)
    work_through(controller, prepared.spec.resources, lambda progress: None)
    return controller


def replay(prepared: Prepared, function: Function, workers: int, kind: Kind = SweepController) -> Replay:
    """A burst of simulated workers, from its first run to its end."""
    reports = read_reports(prepared.layout).to_pylist()
    reached = {(row["trial"], row["repeat"]): (row["step"], row["seconds"]) for row in reports}
    clock = VirtualClock(max((row["time"] for row in reports), default=0.0))
    controller = open_burst(prepared, kind, clock)
    done = Replay(controller, clock, function, workers, reached)
    done.run()
    controller.close()
    return done
