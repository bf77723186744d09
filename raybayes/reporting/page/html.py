"""The report page as HTML text: its sections, tables and links."""

from __future__ import annotations

import datetime
import importlib.resources
from collections.abc import Iterable, Mapping, Sequence
from html import escape

import pyarrow as pa

from raybayes.reporting import ranking
from raybayes.reporting.page.facts import describe_run, render_facts, render_specification
from raybayes.reporting.ranking import best_trials
from raybayes.reporting.summary import Summary
from raybayes.reporting.tables.findings import render_findings
from raybayes.reporting.tables.trials_table import describe_counts, group_failures, result_text, state_words
from raybayes.reporting.text import duration, shorten, value_text
from raybayes.search.objective import Objective
from raybayes.wording import NONE, number, with_error

MOST_BEST = 8


def render_page(
    summary: Summary,
    trials: pa.Table,
    reports: pa.Table,
    pictures: Mapping[str, Sequence[str]],
    now: float,
    tables: Mapping[str, pa.Table] | None = None,
    notice: str = "",
) -> str:
    """The page as text.

    Args:
        pictures: HTML of the figures, by the title of their section.
        now: date of the page, as Unix time.
        tables: the project's findings and other tables, by title.
        notice: shown at the top of the page.
    """
    css = importlib.resources.files("raybayes.reporting.page").joinpath("page.css").read_text(encoding="utf-8")
    date = datetime.datetime.fromtimestamp(now, datetime.UTC).strftime("%Y-%m-%d %H:%M UTC")
    sections = {
        **_result(summary, trials),
        "What was run": render_facts(describe_run(summary, trials, reports)),
        **{title: render_findings(table) for title, table in (tables or {}).items()},
        **{title: "".join(members) for title, members in pictures.items()},
        "Trials": _all_trials(summary, trials),
        "Failures": _failures(trials),
        "Specification": render_specification(summary),
    }
    there = {title: body for title, body in sections.items() if body}
    parts = [
        _header(summary, trials, date),
        _contents(list(there)),
        f'<p class="notice">{escape(notice)}</p>' if notice else "",
        *(
            f'<section id="part-{i}">\n<h2>{escape(title)}</h2>\n{body}\n</section>'
            for i, (title, body) in enumerate(there.items())
        ),
    ]
    return _document(summary.name, css, "\n".join(part for part in parts if part))


def _document(name: str, css: str, body: str) -> str:
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(name)}: raybayes report</title>\n<style>\n{css}</style>\n</head>\n<body>\n<main>\n"
        f"{body}\n</main>\n</body>\n</html>\n"
    )


def _contents(titles: Sequence[str]) -> str:
    links = " · ".join(f'<a href="#part-{i}">{escape(shorten(title, 40))}</a>' for i, title in enumerate(titles))
    return f'<nav class="screen-only">{links}</nav>'


def _header(summary: Summary, trials: pa.Table, date: str) -> str:
    goals = ", ".join(f"{objective.label}, {objective.better}" for objective in summary.objectives)
    return (
        f"<header>\n<h1>{escape(summary.name)}</h1>\n"
        f'<p class="lead">{escape(describe_counts(trials))}.</p>\n'
        f"<p>Project <b>{escape(summary.project)}</b>; {escape(goals)}.</p>\n"
        f'<p class="path"><code>{escape(summary.path)}</code>, page of {date}</p>\n</header>'
    )


def _result(summary: Summary, trials: pa.Table) -> dict[str, str]:
    """The best trials, by the title of their section."""
    winners = best_trials(trials, summary.objectives)
    if not winners:
        notice = f"No trial has finished with a result yet. {_what_is_there(trials)}"
        return {"Result": f'<p class="notice">{escape(notice)}</p>'}
    title = "Best trial" if len(winners) == 1 else f"Pareto front, {len(winners)} trials"
    shown = winners[:MOST_BEST]
    at = {int(trial): row for row, trial in enumerate(trials["trial"].to_pylist())}
    rows = [at[trial] for trial in shown]
    body = [["trial", *(str(trial) for trial in shown)]]
    for objective in summary.objectives:
        body.append([objective.label, *(result_text(trials, objective, row) for row in rows)])
    for name in ranking.parameter_names(trials):
        values = ranking.parameter_values(trials, name)
        if any(values[row] is not None for row in rows):  # the result has no parameters of other methods
            body.append([name, *(value_text(values[row]) for row in rows)])
    body.append(["training time", *(duration(float(ranking.float_column(trials, "seconds")[row])) for row in rows)])
    lines = "".join(
        f"<tr{' class=objective' if 0 < i <= len(summary.objectives) else ''}><th>{escape(line[0])}</th>"
        + "".join(f"<td>{escape(cell)}</td>" for cell in line[1:])
        + "</tr>\n"
        for i, line in enumerate(body)
    )
    rest = len(winners) - len(shown)
    more = f"<p>{rest} more have a star in the table of trials.</p>" if rest else ""
    best_summary = f"<p>{escape(summary.best_summary)}</p>\n" if summary.best_summary else ""
    return {title: f'{best_summary}<div class="wide"><table class="best">\n{lines}</table></div>{more}'}


def _what_is_there(trials: pa.Table) -> str:
    if not len(trials):
        return "No trial has started."
    reported = int((ranking.float_column(trials, "steps") > 0).sum())
    there = f"{reported} of them reported, as shown below" if reported else "none of them reported"
    return f"So far: {describe_counts(trials)}; {there}."


def _results(trials: pa.Table, objective: Objective, rows: Iterable[int]) -> list[str]:
    mean, error = ranking.float_column(trials, objective.name), ranking.float_column(trials, f"{objective.name}.se")
    return [with_error(float(mean[row]), float(error[row])) for row in rows]


def _all_trials(summary: Summary, trials: pa.Table) -> str:
    if not len(trials):
        return ""
    order = ranking.rows_best_first(trials, summary.objectives)
    stars = set(best_trials(trials, summary.objectives))
    words, numbers = state_words(trials), trials["trial"].to_pylist()
    first = ranking.drawable_parameters(trials, summary.objectives[0], summary.importances)
    names = first + [name for name in ranking.parameter_names(trials) if name not in first]
    columns: list[tuple[str, list[str]]] = [("state", words)]
    columns += [(objective.label, _results(trials, objective, range(len(trials)))) for objective in summary.objectives]
    if ranking.has_repeats(trials):
        columns += [("seeds", [number(n) for n in trials["n"].to_pylist()])]
    columns += [
        ("steps", [number(n) for n in trials["steps"].to_pylist()]),
        ("time", [duration(s) for s in trials["seconds"].to_pylist()]),
    ]
    columns += [(name, [value_text(value) for value in ranking.parameter_values(trials, name)]) for name in names]
    columns += [("node", [node or NONE for node in trials["node"].to_pylist()])]
    head = "".join(f"<th>{escape(title)}</th>" for title in ["trial", *(title for title, _ in columns)])
    lines = []
    for row in order:
        kind, star = ("best", "★ ") if numbers[row] in stars else (words[row], "")
        cells = "".join(f"<td>{_unbroken(text[row])}</td>" for _, text in columns)
        lines.append(f'<tr class="{escape(kind)}"><td>{_unbroken(star)}{numbers[row]}</td>{cells}</tr>')
    cut = '<p class="print-only">In print: at most 25 trials and 12 columns; trials.parquet has all.</p>'
    return (
        f'<div class="wide tall"><table class="trials all">\n<thead><tr>{head}</tr></thead>\n<tbody>\n'
        + "\n".join(lines)
        + "\n</tbody>\n</table></div>\n"
        + (cut if len(lines) > 25 or len(columns) > 11 else "")
    )


def _unbroken(text: str) -> str:
    return escape(text).replace(" ", "&nbsp;")


def _failures(trials: pa.Table) -> str:
    causes = group_failures(trials)
    lines = "".join(
        f"<tr><td>{len(which)}</td><td>{escape(shorten(cause, 200))}</td><td>{_some(which)}</td></tr>\n"
        for cause, which in causes[:20]
    )
    more = f"<p>{len(causes) - 20} further messages are in trials.parquet.</p>" if len(causes) > 20 else ""
    head = "<thead><tr><th>trials</th><th>message</th><th>which</th></tr></thead>"
    return f'<table class="failures">\n{head}\n<tbody>\n{lines}</tbody>\n</table>{more}' if causes else ""


def _some(trials: list[int]) -> str:
    return ", ".join(map(str, trials[:8])) + (", …" if len(trials) > 8 else "")
