"""How long a sweep will take, from the times of trials that have run: its own, or those of an earlier sweep."""

from __future__ import annotations

from dataclasses import dataclass

from raybayes.errors import RaybayesError
from raybayes.search.outcomes.outcome import State
from raybayes.store.filesystem import open_storage
from raybayes.sweeps.preparation import Prepared
from raybayes.sweeps.results import SweepResult
from raybayes.wording import number

_ENDED = (State.COMPLETE, State.PRUNED)


@dataclass(frozen=True)
class Estimate:
    """What the trials that are left will take.

    Args:
        source: the sweep whose trials were timed.
        timed: how many of its trials.
        seconds: of training of one trial, their mean; a pruned trial counts with what it took.
        trials: how many are left.
        repeats: of each trial.
    """

    source: str
    timed: int
    seconds: float
    trials: int
    repeats: int

    @property
    def hours(self) -> float:
        """Hours of training of all that is left, one trial after the other."""
        return self.trials * self.repeats * self.seconds / 3600


def estimate(prepared: Prepared) -> Estimate | None:
    """From the trials of the sweep itself, if it was begun, else from the newest sweep of its project that trained with
    the same workers; None if there is none with a finished trial.
    """
    wanted = prepared.spec.trials if prepared.plan.grid is None else min(prepared.spec.trials, len(prepared.plan.grid))
    layout = prepared.layout
    if layout.storage.exists(layout.spec):
        own = SweepResult(layout.storage.display)
        ended = sum(record.state.final for record in own.records)
        if found := _timed(own, max(0, wanted - ended), prepared.spec.repeats):
            return found
    storage = open_storage(prepared.spec.storage)
    known: list[tuple[float, Estimate]] = []
    for name in storage.list():
        if not storage.exists(f"{name}/{layout.spec}"):
            continue
        try:
            other = SweepResult(storage.display_path(name))
            same = other.spec.project == prepared.spec.project and other.spec.resources == prepared.spec.resources
            found = _timed(other, wanted, prepared.spec.repeats) if same and other.spec.kind != "replay" else None
            if found is not None:
                known.append((max(record.ended or 0.0 for record in other.records), found))
        except RaybayesError:  # of another version, or damaged: not what was asked for
            continue
    return max(known, key=lambda pair: pair[0])[1] if known else None


def _timed(found: SweepResult, trials: int, repeats: int) -> Estimate | None:
    """Seconds of one repeat: a stored trial has the sum over its repeats."""
    ended = [record for record in found.records if record.state in _ENDED and record.notes.get("seconds", 0.0) > 0]
    if not ended:
        return None
    runs = sum(int(record.notes.get("n", 1)) for record in ended)
    seconds = sum(record.notes["seconds"] for record in ended) / runs
    return Estimate(found.path, len(ended), seconds, trials, repeats)


def describe_estimate(prepared: Prepared, at_once: int) -> dict[str, str]:
    """What `--dry-run` says of time and budget, by title."""
    found, stopping = estimate(prepared), prepared.plan.stopping
    if found is None:
        return {"expected": f"unknown: no trial of {prepared.spec.project} has run in {prepared.spec.storage} yet"}
    one = f"{found.trials} trials" + (f" x {found.repeats} repeats" if found.repeats > 1 else "")
    said = {
        "expected": f"{one} x {number(found.seconds, 3)} s = {number(found.hours, 3)} h, "
        f"{number(found.hours / at_once, 3)} h with {at_once} at once",
        "timed on": f"{found.timed} trials of {found.source}",
    }
    if stopping.budget is not None:
        used = stopping.used_hours(found.hours * 3600)
        share = used / stopping.budget.hours
        said["of the budget"] = f"{number(used, 3)} {stopping.unit}, {share:.0%} of {stopping.budget}"
    return said
