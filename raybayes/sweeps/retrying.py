"""Which failed trials of a sweep are to run again."""

from __future__ import annotations

from collections.abc import Sequence

from raybayes.errors import SpecError
from raybayes.search.outcomes.outcome import State
from raybayes.sweeps.results import SweepResult

_LISTED = 20


def failed_trials(found: SweepResult, wanted: bool | Sequence[int]) -> tuple[int, ...]:
    """The numbers of the trials to run again; empty where none is wanted.

    Args:
        found: the sweep or run.
        wanted: True for all that failed, or their numbers.

    Raises:
        SpecError: a trial did not fail or does not exist, nothing failed, or the trials depend on each other (pbt).
    """
    if wanted is False or wanted == ():
        return ()
    states = {record.number: record.state for record in found.records}
    failed = [number for number, state in states.items() if state is State.FAIL]
    if found.spec.scheduler.name == "pbt":
        raise SpecError(
            f"retry_failed: {found.path} is a population (pbt), whose members train side by side; start a new sweep."
        )
    if wanted is True:
        if not failed and all(state.final for state in states.values()):
            raise SpecError(f"retry_failed: no trial of {found.path} has failed; resume it without.")
        return tuple(failed)
    for number in wanted:
        if number not in failed:
            ended = f"it is {states[number]}" if number in states else "there is none"
            raise SpecError(f"retry_failed: trial {number} did not fail, {ended}; {_valid(failed)}.")
    return tuple(wanted)


def _valid(failed: Sequence[int]) -> str:
    shown = ", ".join(map(str, failed[:_LISTED]))
    more = f" and {len(failed) - _LISTED} more" if len(failed) > _LISTED else ""
    return f"failed trials: {shown}{more}" if failed else "no trial has failed"
