"""Many sweeps: those of a storage at a glance, several side by side, and the removal of one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import pyarrow as pa

from raybayes.clock import WALL, Clock
from raybayes.errors import RaybayesError, SpecError, StoreError
from raybayes.reporting.comparison import BestSoFar, best_so_far
from raybayes.reporting.text import duration
from raybayes.spec.options import Path
from raybayes.spec.reading import storage as default_storage
from raybayes.store.filesystem import open_storage
from raybayes.store.layout import Layout
from raybayes.store.lock import BurstLock
from raybayes.sweeps.results import SweepResult
from raybayes.wording import NONE, with_error


@dataclass(frozen=True)
class Overview:
    """One sweep or run of a storage.

    Args:
        name: its folder.
        project: what it trains.
        state: "running", "finished", "stopped" (by a rule or a budget), "paused", "empty", or why it cannot be read.
        trials: finished trials of those wanted: "12/64".
        best: the best value with its standard error, or the size of the Pareto front.
        age: since something last happened in it.
        worker: host and process that work on it now; "" if nobody does.
    """

    name: str
    project: str
    state: str
    trials: str
    best: str
    age: str
    worker: str


def list_sweeps(storage: Path | None = None, clock: Clock = WALL) -> list[Overview]:
    """All sweeps and runs of a storage, by name; those that cannot be read say why.

    Raises:
        StoreError: there is no such folder.
    """
    found = open_storage(default_storage(storage))
    if not found.exists():
        raise StoreError(f"{found.display}: there is no such folder; give the folder that holds the sweeps.")
    return [_overview(found.display_path(name), name, clock) for name in sweep_names(found.display)]


def sweep_names(storage: str) -> list[str]:
    """The names of the sweeps and runs of a storage."""
    found = open_storage(storage)
    return [name for name in sorted(found.list()) if found.exists(f"{name}/{Layout(found.child(name)).spec}")]


def _overview(path: str, name: str, clock: Clock) -> Overview:
    try:
        found = SweepResult(path)
        records = found.records
        ended = sum(record.state.final for record in records)
        holder = BurstLock(found.layout).find_living()
        times = [time for record in records for time in (record.ended, record.started) if time is not None]
        age = duration(max(0.0, clock.now() - max(times))) if times else NONE
        worker = "" if holder is None else f"{holder.host}, process {holder.pid}"
        state = "running" if holder is not None else _state(found, ended)
        return Overview(name, found.spec.project, state, f"{ended}/{found.spec.trials}", _best(found), age, worker)
    except RaybayesError as error:
        return Overview(name, NONE, f"unreadable: {error}", NONE, NONE, NONE, "")


def _state(found: SweepResult, ended: int) -> str:
    if found.stop_reason:
        return "stopped"
    if ended >= found.spec.trials:
        return "finished"
    return "paused" if found.records else "empty"


def _best(found: SweepResult) -> str:
    front = found.pareto.to_pylist()
    if not front:
        return NONE
    first = found.objectives[0].name
    if len(found.objectives) > 1:
        return f"{len(front)} on the front"
    return f"{first} {with_error(front[0][first], front[0].get(f'{first}.se'))}"


@dataclass(frozen=True)
class Comparison:
    """Several sweeps with the same objective.

    Args:
        table: one row per sweep: best value, its standard error, n and trial, finished trials, hours of training in all
            and until the best.
        curves: the best value after each finished trial, by sweep.
        objective: the label of what is compared.
    """

    table: pa.Table
    curves: dict[str, BestSoFar]
    objective: Any

    def page(self) -> str:
        """An HTML page with the table and the curves, which needs no network."""
        from raybayes.reporting.comparison import comparison_page

        return comparison_page(self.table, self.curves, self.objective)


def compare(paths: Sequence[Path]) -> Comparison:
    """Put sweeps side by side.

    Raises:
        SpecError: fewer than two, the same one twice, several objectives, or other objectives than the first.
        StoreError: one of them is no sweep.
    """
    sweeps = [SweepResult(path) for path in paths]
    if len(sweeps) < 2 or len({sweep.path.rstrip("/") for sweep in sweeps}) < len(sweeps):
        raise SpecError("compare needs two sweeps or more, each named once.")
    first = sweeps[0].objectives
    for sweep in sweeps:
        if sweep.objectives != first or len(first) > 1:
            here, there = (", ".join(f"{o.direction} {o.name}" for o in found) for found in (sweep.objectives, first))
            raise SpecError(f"{sweep.path} is to {here}, {sweeps[0].path} to {there}; compare needs one and the same.")
    names = _distinct([sweep.layout.name for sweep in sweeps], [sweep.path for sweep in sweeps])
    curves = {name: best_so_far(sweep.records, first[0]) for name, sweep in zip(names, sweeps, strict=True)}
    rows = [_row(name, sweep, curves[name]) for name, sweep in zip(names, sweeps, strict=True)]
    return Comparison(pa.Table.from_pylist(rows), curves, first[0])


def _distinct(names: Sequence[str], paths: Sequence[str]) -> list[str]:
    return list(names) if len(set(names)) == len(names) else list(paths)


def _row(name: str, sweep: SweepResult, curve: BestSoFar) -> dict[str, Any]:
    objective, front = sweep.objectives[0].name, sweep.pareto.to_pylist()
    best = front[0] if front else {}
    states = [record.state for record in sweep.records if record.state.final]
    return {
        "sweep": name,
        "project": sweep.spec.project,
        "sampler": str(sweep.spec.sampler),
        "scheduler": str(sweep.spec.scheduler),
        objective: best.get(objective),
        f"{objective}.se": best.get(f"{objective}.se"),
        "n": best.get("n"),
        "trial": best.get("trial"),
        "finished": len(states),
        "hours": curve.hours[-1] if curve.hours else 0.0,
        "hours to best": curve.hours_to_best,
    }


def remove(path: Path) -> str:
    """Delete a sweep or run with all that it has stored; returns its path.

    Raises:
        StoreError: there is no sweep, or a burst works on it.
    """
    found = SweepResult(path)
    lock = BurstLock(found.layout)
    lock.acquire()  # no burst may begin meanwhile
    try:
        found.layout.storage.delete()
    except BaseException:
        lock.release()
        raise
    return found.path


def as_row(found: Overview) -> dict[str, str]:
    """An overview as a plain row."""
    row: dict[str, str] = asdict(found)
    return row
