"""Describes the best trial: its value, standard error, and the number of runs that it is the mean of."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa

from raybayes.search.objective import Objective
from raybayes.search.outcomes.confirm import Confirmation, eligible_records
from raybayes.search.outcomes.ranking import find_pareto_front
from raybayes.search.outcomes.records import TrialRecord
from raybayes.wording import in_five_digits, with_error


def merge_confirmations(
    trials: pa.Table, confirmed: Mapping[int, Confirmation], objectives: Sequence[Objective]
) -> pa.Table:
    """The table of trials with the means over fresh seeds in place of the values that the search selected on."""
    if not confirmed:
        return trials
    numbers = trials["trial"].to_pylist()
    found = [confirmed.get(number) for number in numbers]
    for i, objective in enumerate(objectives):
        searched = trials[objective.name].to_pylist()
        errors = trials[f"{objective.name}.se"].to_pylist() if f"{objective.name}.se" in trials.column_names else None
        means = [old if c is None else c.values[i] for old, c in zip(searched, found, strict=True)]
        spread = [
            old if c is None else c.errors[i] for old, c in zip(errors or [None] * len(found), found, strict=True)
        ]
        trials = _put(trials, objective.name, pa.array(means, pa.float64()), after="steps")
        trials = _put(trials, f"{objective.name}.se", pa.array(spread, pa.float64()), after=objective.name)
        kept = [None if c is None else old for old, c in zip(searched, found, strict=True)]
        trials = _put(trials, f"{objective.name}.searched", pa.array(kept, pa.float64()), after=f"{objective.name}.se")
    runs = [old if c is None else c.n for old, c in zip(trials["n"].to_pylist(), found, strict=True)]
    trials = _put(trials, "n", pa.array(runs, pa.int64()), after="n")
    feasible = [old if c is None else c.feasible for old, c in zip(trials["feasible"].to_pylist(), found, strict=True)]
    trials = _put(trials, "feasible", pa.array(feasible, pa.bool_()), after="state")
    return _put(trials, "confirmed", pa.array([c is not None and c.complete for c in found]), after="n")


def _put(table: pa.Table, name: str, column: pa.Array, after: str) -> pa.Table:
    names = table.column_names
    if name in names:
        return table.set_column(names.index(name), name, column)
    return table.add_column(names.index(after) + 1, name, column)


def best_summary(
    records: Sequence[TrialRecord],
    confirmed: Mapping[int, Confirmation],
    objectives: Sequence[Objective],
    constraints: Mapping[str, str],
) -> str:
    """One or two sentences: the best trial and its evidence, or why there is none."""
    done = [record for record in records if record.values is not None]
    if not done:
        return "No trial is complete yet; resume the sweep, or extend it."
    if not any(record.feasible for record in done):
        bounds = " and ".join(f"{name} {bound}" for name, bound in constraints.items())
        nearest = min(done, key=lambda record: (sum(max(0.0, d) for d in record.missed.values()), record.number))
        misses = ", ".join(f"{name} by {missed:.4g}" for name, missed in nearest.missed.items() if missed > 0)
        return (
            f"None of the {len(done)} complete trials satisfies {bounds}; trial {nearest.number} is closest and "
            f"misses {misses}. Extend the sweep, or start a new one with a looser bound."
        )
    usable = eligible_records(records, confirmed)
    winners = find_pareto_front(usable, objectives)
    if not winners:
        return "None of the confirmed trials satisfies the constraints; confirm more candidates with a larger --top."
    if any(c.complete for c in confirmed.values()):
        return _describe_confirmed(winners, confirmed, objectives)
    if confirmed:
        return "No candidate was evaluated on all its fresh seeds; resume with raybayes confirm."
    return _describe_searched(winners, {record.number: record for record in done}, objectives)


def _describe_confirmed(
    winners: Sequence[int], confirmed: Mapping[int, Confirmation], objectives: Sequence[Objective]
) -> str:
    described = [
        f"trial {number}: {_values(objectives, confirmed[number].values, confirmed[number].errors)} "
        f"(n = {confirmed[number].n} fresh seeds; the search reported "
        f"{', '.join(f'{value:.5g}' for value in confirmed[number].searched)})"
        for number in winners
    ]
    lost = sum(not c.complete for c in confirmed.values())
    dropped = f", {lost} of them stopped early" if lost else ""
    return f"Best of {len(confirmed)} confirmed{dropped}: {'; '.join(described)}."


def _describe_searched(winners: Sequence[int], done: Mapping[int, TrialRecord], objectives: Sequence[Objective]) -> str:
    best = done[winners[0]]
    n = best.notes.get("n", 1)
    described = _values(objectives, best.values or (), [best.notes.get("se", {}).get(o.name) for o in objectives])
    many = f"{len(winners)} nondominated trials, among them " if len(winners) > 1 else ""
    caveat = "optimistic, because it was selected on this value; `raybayes confirm` re-evaluates it on fresh seeds"
    return f"Best: {many}trial {best.number}: {described} (n = {n}; {caveat})."


def _values(objectives: Sequence[Objective], values: Sequence[float], errors: Sequence[float | None]) -> str:
    return ", ".join(
        f"{objective.name} {with_error(value, error, alone=in_five_digits)}"
        for objective, value, error in zip(objectives, values, errors, strict=True)
    )
