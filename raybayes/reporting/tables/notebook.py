"""A sweep or a run as HTML in a notebook, without scripts and without network."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import pyarrow as pa

from raybayes.reporting import ranking
from raybayes.reporting.tables.trials_table import describe_counts, state_words
from raybayes.reporting.text import duration, shorten, value_text
from raybayes.search.objective import Objective
from raybayes.wording import number, with_error

MOST_TRIALS = 10
MOST_PARAMETERS = 8


def render_sweep(path: str, project: str, trials: pa.Table, objectives: Sequence[Objective]) -> str:
    """The ten best trials: state, objectives, most important parameters, time."""
    rows = ranking.rows_best_first(trials, objectives)[:MOST_TRIALS]
    stars = set(ranking.best_trials(trials, objectives))
    names = ranking.drawable_parameters(trials, objectives[0])[:MOST_PARAMETERS]
    seeds = ["seeds"] if ranking.has_repeats(trials) else []
    head = ["trial", "state", *(objective.label for objective in objectives), *seeds, *names, "steps", "time"]
    words, numbers = state_words(trials), trials["trial"].to_pylist()
    lines = []
    for row in rows:
        results = [
            with_error(*(float(ranking.float_column(trials, objective.name + end)[row]) for end in ("", ".se")))
            for objective in objectives
        ]
        values = [shorten(value_text(ranking.parameter_values(trials, name)[row]), 24) for name in names]
        star = "★ " if numbers[row] in stars else ""
        runs = [number(trials["n"][row].as_py()) for _ in seeds]
        steps, seconds = trials["steps"][row].as_py(), trials["seconds"][row].as_py()
        lines.append([f"{star}{numbers[row]}", words[row], *results, *runs, *values, number(steps), duration(seconds)])
    more = f", {len(trials) - len(rows)} more not shown" if len(trials) > len(rows) else ""
    return render_table(head, lines, f"{project}: {describe_counts(trials)}{more}. {path}")


def render_run(path: str, project: str, trials: pa.Table, reports: pa.Table, fixed: Sequence[str]) -> str:
    """The last value of each metric of a run, as HTML."""
    lines = []
    for name in reports.column_names:
        known = [value for value in reports[name].to_pylist() if value is not None]
        if name not in fixed and known:
            lines.append([name, f"{known[-1]:.6g}", str(len(known))])
    return render_table(["metric", "last value", "reports"], lines, f"{project}: {describe_counts(trials)}. {path}")


def render_table(head: Sequence[str], lines: Sequence[Sequence[str]], caption: str) -> str:
    """A table with its caption below, as HTML."""
    top = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>" for line in lines)
    below = f'<caption style="caption-side: bottom; text-align: left">{escape(caption)}</caption>'
    return f"<table>{below}<thead><tr>{top}</tr></thead><tbody>{body}</tbody></table>"
