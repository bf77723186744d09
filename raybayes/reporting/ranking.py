"""Ranks trials and parameters: pure functions of the table of trials."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from raybayes.search.objective import Objective
from raybayes.search.outcomes.pareto import count_dominating
from raybayes.search.study.trials_table import NONE_IS_A_VALUE

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

CONFIG = "config."
STATES = ("COMPLETE", "RUNNING", "PAUSED", "PRUNED", "FAIL")  # in the order of tables
_BINS = 4
_FEWEST = 3  # trials that have a parameter which is drawn


def float_column(table: pa.Table, name: str) -> Floats:
    """A column as floats, (rows,); NaN where it is null, and all NaN if the column is missing."""
    if name not in table.column_names:
        return np.full(len(table), np.nan)
    column = table[name].combine_chunks()
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    values: Floats = column.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return values


def state_column(trials: pa.Table) -> NDArray[np.str_]:
    """The state of each trial, (trials,)."""
    return np.array(trials["state"].to_pylist(), dtype=np.str_)


def parameter_names(trials: pa.Table) -> list[str]:
    """The names of the searched parameters, without the prefix of their columns."""
    return [name.removeprefix(CONFIG) for name in trials.column_names if name.startswith(CONFIG)]


def parameter_values(trials: pa.Table, parameter: str) -> list[Any]:
    """A parameter's value in each trial, lists as texts; None where it is inactive, "None" where it is that value."""
    field = trials.schema.field(CONFIG + parameter)
    values = [_as_text(value) for value in trials[CONFIG + parameter].to_pylist()]
    if NONE_IS_A_VALUE in (field.metadata or {}):
        return ["None" if value is None else value for value in values]
    return values


def _as_text(value: Any) -> Any:
    return ", ".join(map(str, value)) if isinstance(value, list) else value


def is_numeric(trials: pa.Table, parameter: str) -> bool:
    """Whether the parameter is a number (a boolean is not)."""
    field = trials.schema.field(CONFIG + parameter)
    kind = field.type
    if NONE_IS_A_VALUE in (field.metadata or {}) and trials[CONFIG + parameter].null_count:
        return False
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind))


def has_repeats(trials: pa.Table) -> bool:
    """Whether trials have several seeds."""
    return "n" in trials.column_names and (pc.max(trials["n"]).as_py() or 0) > 1


def loss_matrix(trials: pa.Table, objectives: Sequence[Objective]) -> Floats:
    """(trials, objectives), smaller is better, NaN where a trial has no value."""
    return np.stack([o.sign * float_column(trials, o.name) for o in objectives], axis=1)


def feasible_mask(trials: pa.Table) -> Mask:
    """(trials,): False where the column `feasible_mask` says so; a table without it has no constraints."""
    if "feasible" not in trials.column_names:
        return np.ones(len(trials), dtype=bool)
    marked: Mask = pc.fill_null(trials["feasible"], True).to_numpy()
    return marked.astype(bool)


def finished_mask(trials: pa.Table, objectives: Sequence[Objective]) -> Mask:
    """(trials,): complete, feasible, and with a finite value of every objective."""
    whole = np.isfinite(loss_matrix(trials, objectives)).all(axis=1)
    mask: Mask = (state_column(trials) == "COMPLETE") & whole & feasible_mask(trials)
    return mask


def best_trials(trials: pa.Table, objectives: Sequence[Objective]) -> list[int]:
    """The numbers of the best finished trials: one for a single objective, the Pareto front for several.

    Once trials are confirmed on fresh seeds, only these compete: the values of the others are optimistic. Of trials
    that are equal in a single objective, the earliest is the best. The front is sorted by the first objective, best
    first. The list is empty if no trial is finished.
    """
    usable = finished_mask(trials, objectives)
    if "confirmed" in trials.column_names and (stand := trials["confirmed"].to_numpy()).any():
        usable &= stand
    rows = np.flatnonzero(usable)
    if not len(rows):
        return []
    loss = loss_matrix(trials, objectives)[rows]
    number = float_column(trials, "trial")[rows]
    front = np.flatnonzero(count_dominating(loss) == 0)
    by_first = front[np.lexsort((number[front], loss[front, 0]))]
    return [int(n) for n in number[by_first[:1] if len(objectives) == 1 else by_first]]


def rows_best_first(trials: pa.Table, objectives: Sequence[Objective]) -> list[int]:
    """Rows in the order of a table: the best, the other finished ones, then those without a result.

    Within each state the first objective decides, then the trial's number.
    """
    rank = {state: i for i, state in enumerate(STATES)}
    number = float_column(trials, "trial")
    loss = loss_matrix(trials, objectives)[:, 0]
    stars = set(best_trials(trials, objectives))
    done = finished_mask(trials, objectives)
    keys = [
        (number[i] not in stars, not done[i], rank.get(state, len(rank)), not np.isfinite(loss[i]),
         loss[i] if np.isfinite(loss[i]) else 0.0, number[i])
        for i, state in enumerate(state_column(trials))
    ]  # fmt: skip
    return sorted(range(len(trials)), key=lambda i: keys[i])


def rank_parameters(
    trials: pa.Table, objective: Objective, importances: Mapping[str, float] | None = None
) -> list[str]:
    """The parameters that vary, those that explain most of the objective first.

    They are sorted by importance where importances are known; otherwise by epsilon-squared, the share of the variance
    of the objective's ranks between groups of a parameter's values (categories, or quarters of a number), corrected for
    the number of groups (Kelley, "An unbiased correlation ratio measure", PNAS 21, 1935). Parameters that more trials
    have come before those that fewer have.
    """
    varying = [name for name in parameter_names(trials) if len(set(parameter_values(trials, name))) > 1]
    if importances:
        return sorted(varying, key=lambda name: -importances.get(name, 0.0))
    loss = loss_matrix(trials, [objective])[:, 0]
    # A parameter that most trials lack fills a column with dashes, whatever it explains in the others.
    present = {
        name: sum(value is not None for value in parameter_values(trials, name)) / max(1, len(trials))
        for name in varying
    }
    return sorted(varying, key=lambda name: (-round(present[name], 1), -_share(trials, name, loss)))


def drawable_parameters(
    trials: pa.Table, objective: Objective, importances: Mapping[str, float] | None = None
) -> list[str]:
    """Those of `rank_parameters` that a figure can show: at least three trials with a result, and two values."""
    known = trials.filter(pa.array(np.isfinite(loss_matrix(trials, [objective])[:, 0])))
    found = {
        name: [value for value in parameter_values(known, name) if value is not None] for name in parameter_names(known)
    }
    fit = {name for name, active in found.items() if len(active) >= _FEWEST and len(set(active)) > 1}
    return [name for name in rank_parameters(trials, objective, importances) if name in fit]


def _share(trials: pa.Table, parameter: str, loss: Floats) -> float:
    """What a parameter explains where it is active, times the share of trials in which it is."""
    known = np.isfinite(loss)
    active = known & np.array([value is not None for value in parameter_values(trials, parameter)])
    if not active.any():
        return 0.0
    ranks = loss[active].argsort().argsort().astype(np.float64)
    return _explained(_groups(trials.filter(pa.array(active)), parameter), ranks) * float(active.sum() / known.sum())


def _groups(trials: pa.Table, parameter: str) -> NDArray[np.int64]:
    """(trials,): the group of each trial's value: its category, or the quarter of a number."""
    if not is_numeric(trials, parameter):
        return np.unique([repr(value) for value in parameter_values(trials, parameter)], return_inverse=True)[1]
    value = float_column(trials, CONFIG + parameter)
    edges = np.unique(np.quantile(value, np.linspace(0, 1, _BINS + 1)[1:-1]))
    return np.digitize(value, edges, right=True)


def _explained(groups: NDArray[np.int64], ranks: Floats) -> float:
    names, sizes = np.unique(groups, return_counts=True)
    n, k = len(ranks), len(names)
    total = ((ranks - ranks.mean()) ** 2).sum() if n else 0.0
    if n <= k or k < 2 or total == 0:
        return 0.0
    means = np.array([ranks[groups == name].mean() for name in names])
    between = float((sizes * (means - ranks.mean()) ** 2).sum() / total)
    return 1.0 - (1.0 - between) * (n - 1) / (n - k)
