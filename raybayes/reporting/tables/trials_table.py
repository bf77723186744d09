"""The table of trials on a terminal: best first, never wider than the terminal."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import pyarrow as pa
from rich import box
from rich.cells import cell_len
from rich.table import Table
from rich.text import Text

from raybayes.reporting import ranking
from raybayes.reporting.ranking import best_trials
from raybayes.reporting.text import WORDS, duration, first_line, shorten, value_text
from raybayes.search.objective import Objective
from raybayes.wording import number, with_error

_STYLES = {"pruned": "dim", "failed": "red", "running": "cyan", "paused": "yellow", "infeasible": "magenta"}
_GAP = 2  # blanks between two columns
_LONGEST_VALUE = 18
_MOST_ERRORS = 3
_MOST_NAMES = 8
_STAR = "★"


@dataclass(frozen=True)
class _Column:
    header: str
    cells: list[str]
    justify: Literal["left", "right"] = "right"

    @property
    def width(self) -> int:
        return max(cell_len(text) for text in [self.header, *self.cells])


def trials_table(
    trials: pa.Table,
    objectives: Sequence[Objective],
    width: int = 100,
    rows: int = 25,
    importances: Mapping[str, float] | None = None,
) -> Table:
    """A table of trials, best first, the best marked with a star.

    Trial, state and the first objective are always shown; further objectives, steps, time and parameters (the most
    important first) follow if they fit. Lines below say what is left out, and why trials failed.

    Args:
        trials: one row per trial, as stored.
        objectives: what the sweep improves.
        width: columns of the terminal.
        rows: trials to show.
        importances: of the parameters, if known.
    """
    order = ranking.rows_best_first(trials, objectives)[:rows]
    shown = trials.take(pa.array(order, pa.int64()))
    columns, dropped = _fitting(shown, trials, objectives, width, importances)
    table = Table(
        box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, _GAP - 1, 0, 0), caption_justify="left"
    )
    for column in columns:
        table.add_column(Text(column.header), justify=column.justify, no_wrap=True, min_width=column.width)
    stars = set(best_trials(trials, objectives))
    for row, (trial, state) in enumerate(zip(shown["trial"].to_pylist(), state_words(shown), strict=True)):
        style = "bold green" if trial in stars else _STYLES.get(state, "")
        table.add_row(*(Text(column.cells[row]) for column in columns), style=style)
    legend = f"{_STAR} {'best' if len(objectives) == 1 else 'Pareto front'}." if stars else ""
    table.caption = Text("\n".join(_lines_below(trials, legend, len(shown), dropped, width)))
    return table


def _fitting(
    shown: pa.Table,
    trials: pa.Table,
    objectives: Sequence[Objective],
    width: int,
    importances: Mapping[str, float] | None,
) -> tuple[list[_Column], list[str]]:
    """The columns that fit, and the names of the parameters that do not fit."""
    head = [
        _trial_column(shown, trials, objectives),
        _Column("state", state_words(shown), "left"),
        _objective_column(shown, objectives[0]),
    ]
    left = width - sum(column.width + _GAP for column in head)
    parameters = ranking.rank_parameters(trials, objectives[0], importances)
    optional = [_objective_column(shown, objective) for objective in objectives[1:]]
    optional += [
        _Column("steps", [number(steps) for steps in shown["steps"].to_pylist()]),
        _Column("time", [duration(seconds) for seconds in shown["seconds"].to_pylist()]),
    ]
    dropped = []
    for column in optional + [_parameter_column(shown, parameter) for parameter in parameters]:
        if column.width + _GAP <= left:
            head.append(column)
            left -= column.width + _GAP
        elif column not in optional:
            dropped.append(column.header)
    return head, dropped


def _trial_column(shown: pa.Table, trials: pa.Table, objectives: Sequence[Objective]) -> _Column:
    stars = set(best_trials(trials, objectives))
    return _Column("trial", [f"{_STAR} {n}" if n in stars else str(n) for n in shown["trial"].to_pylist()])


def _objective_column(shown: pa.Table, objective: Objective) -> _Column:
    means = ranking.float_column(shown, objective.name)
    errors = ranking.float_column(shown, f"{objective.name}.se")
    return _Column(objective.label, [with_error(mean, error) for mean, error in zip(means, errors, strict=True)])


def _parameter_column(shown: pa.Table, parameter: str) -> _Column:
    cells = [shorten(value_text(value), _LONGEST_VALUE) for value in ranking.parameter_values(shown, parameter)]
    return _Column(parameter, cells, "right" if ranking.is_numeric(shown, parameter) else "left")


def result_text(trials: pa.Table, objective: Objective, row: int) -> str:
    """A best value as text: mean ± standard error, and the number of runs that it is the mean of."""
    mean, error = (float(ranking.float_column(trials, objective.name + end)[row]) for end in ("", ".se"))
    runs = ranking.float_column(trials, "n")[row]
    return with_error(mean, error) + (f" (n = {runs:.0f})" if runs == runs else "")


def state_words(trials: pa.Table) -> list[str]:
    """The state of each trial in words; a complete one that violates a constraint is infeasible."""
    allowed = ranking.feasible_mask(trials)
    return [
        "infeasible" if state == "COMPLETE" and not ok else WORDS.get(state, state.lower())
        for state, ok in zip(trials["state"].to_pylist(), allowed, strict=True)
    ]


def describe_counts(trials: pa.Table) -> str:
    """The number of trials by state: "64 trials: 40 complete, 24 pruned"."""
    found = Counter(state_words(trials))
    order = [*WORDS.values(), *sorted(set(found) - set(WORDS.values()))]
    parts = ", ".join(f"{found[word]} {word}" for word in order if found[word])
    return f"{len(trials)} trial{'' if len(trials) == 1 else 's'}" + (f": {parts}" if parts else "")


def _lines_below(trials: pa.Table, legend: str, shown: int, dropped: list[str], width: int) -> list[str]:
    lines = [f"{describe_counts(trials)}. {legend}".strip()]
    if shown < len(trials):
        lines.append(f"{len(trials) - shown} more trials are not shown.")
    if dropped:
        s = "s" if len(dropped) > 1 else ""
        names = ", ".join(dropped[:_MOST_NAMES]) + (", …" if len(dropped) > _MOST_NAMES else "")
        lines.append(f"{len(dropped)} more parameter{s} did not fit: {names}.")
    causes = group_failures(trials)
    lines += [
        shorten(f"{len(which)} failed, e.g. trial {which[0]}: {cause}", width) for cause, which in causes[:_MOST_ERRORS]
    ]
    if len(causes) > _MOST_ERRORS:
        lines.append(f"Other failures: {len(causes) - _MOST_ERRORS} more messages.")
    return lines


def group_failures(trials: pa.Table) -> list[tuple[str, list[int]]]:
    """(last line of the error, trials that failed with it), the most frequent first."""
    causes: dict[str, list[int]] = {}
    for trial, state, error in zip(*(trials[name].to_pylist() for name in ("trial", "state", "failure")), strict=True):
        if state == "FAIL":
            causes.setdefault(first_line(error) or "no message", []).append(trial)
    return sorted(causes.items(), key=lambda item: (-len(item[1]), item[1]))
