"""A running sweep as a log wants it: one plain line for each thing that happened between two looks."""

from __future__ import annotations

from raybayes.reporting.tables.trials_table import result_text, state_words
from raybayes.reporting.terminal.view import View, seconds_left, status
from raybayes.reporting.text import duration, one_line
from raybayes.wording import number


def news(before: View | None, view: View) -> list[str]:
    """What a log wants to know of the time between two views, one line each."""
    lines = []
    if before is None or before.wanted != view.wanted or status_kind(before) != status_kind(view):
        lines.append(f"{view.name}: {status(view)}; {view.ended} of {view.wanted} trials have ended")
    known = set() if before is None else set(_over(before))
    objective, best = view.objectives[0], view.best
    for trial, (word, value, error) in sorted(_over(view).items()):
        if trial not in known and before is not None:
            tail = f": {error}" if error else f" {number(value)}" if value is not None else ""
            so_far = "" if best is None else f", best {objective.name} {_best_value(view)} in trial {best}"
            left = seconds_left(view)
            end = "" if left is None else f", about {duration(left)} left"
            lines.append(f"trial {trial} {word}{tail}  ({view.ended} of {view.wanted}{so_far}{end})")
    return lines


def status_kind(view: View) -> str:
    """Works, finished or waits: what `news` tells changes of."""
    return (
        "finished"
        if view.finished
        else "waits"
        if view.worker is None
        else f"works {view.worker.host} {view.worker.pid}"
    )


def _best_value(view: View) -> str:
    row = view.trials["trial"].to_pylist().index(view.best)
    return result_text(view.trials, view.objectives[0], row)


def _over(view: View) -> dict[int, tuple[str, float | None, str]]:
    found = {}
    for row, word in zip(view.trials.to_pylist(), state_words(view.trials), strict=True):
        if word not in ("running", "paused"):
            error = one_line(row["failure"]) if word == "failed" else ""
            found[row["trial"]] = (word, row.get(view.objectives[0].name), error)
    return found
