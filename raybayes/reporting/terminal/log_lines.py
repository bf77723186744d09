"""A running sweep as log lines: one plain line per event between two views."""

from __future__ import annotations

from raybayes.reporting.tables.trials_table import result_text, state_words
from raybayes.reporting.terminal.view import View, describe_status, estimate_seconds_left
from raybayes.reporting.text import duration, first_line
from raybayes.wording import number


def new_lines(before: View | None, view: View) -> list[str]:
    """The events between two views, one line each."""
    lines = []
    if before is None or before.wanted != view.wanted or kind_of_status(before) != kind_of_status(view):
        lines.append(f"{view.name}: {describe_status(view)}; {view.ended} of {view.wanted} trials finished")
    known = set() if before is None else set(_ended_trials(before))
    objective, best = view.objectives[0], view.best
    for trial, (word, value, error) in sorted(_ended_trials(view).items()):
        if trial not in known and before is not None:
            tail = f": {error}" if error else f" {number(value)}" if value is not None else ""
            so_far = "" if best is None else f", best {objective.name} {_best_value(view)} in trial {best}"
            left = estimate_seconds_left(view)
            end = "" if left is None else f", about {duration(left)} left"
            lines.append(f"trial {trial} {word}{tail}  ({view.ended} of {view.wanted}{so_far}{end})")
    return lines


def kind_of_status(view: View) -> str:
    """The kind of status, whose changes `new_lines` reports: finished, paused or running where."""
    return (
        "finished"
        if view.finished
        else "waits"
        if view.active_burst is None
        else f"works {view.active_burst.host} {view.active_burst.pid}"
    )


def _best_value(view: View) -> str:
    row = view.trials["trial"].to_pylist().index(view.best)
    return result_text(view.trials, view.objectives[0], row)


def _ended_trials(view: View) -> dict[int, tuple[str, float | None, str]]:
    found = {}
    for row, word in zip(view.trials.to_pylist(), state_words(view.trials), strict=True):
        if word not in ("running", "paused"):
            error = first_line(row["failure"]) if word == "failed" else ""
            found[row["trial"]] = (word, row.get(view.objectives[0].name), error)
    return found
