"""Makes report.html: one page with all results of a sweep, which needs no network and prints well."""

from __future__ import annotations

import base64
import datetime
import importlib.resources
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

import pyarrow as pa
from matplotlib.figure import Figure

from raybayes.clock import WALL, Clock
from raybayes.contract import Findings
from raybayes.reporting import ranking
from raybayes.reporting.figures import style
from raybayes.reporting.figures.history import draw_history
from raybayes.reporting.figures.importances import draw_importances
from raybayes.reporting.figures.learning_curves import draw_learning_curves
from raybayes.reporting.figures.parallel_coordinates import draw_parallel_coordinates
from raybayes.reporting.figures.pareto_front import draw_pareto_front
from raybayes.reporting.figures.slices import draw_slices
from raybayes.reporting.figures.slot_times import draw_slot_times
from raybayes.reporting.figures.timeline import draw_timeline
from raybayes.reporting.page.facts import describe_run, render_facts, render_specification
from raybayes.reporting.ranking import best_trials
from raybayes.reporting.summary import Summary
from raybayes.reporting.tables.findings import file_name, render_findings
from raybayes.reporting.tables.slot_shares import slot_shares, to_percent
from raybayes.reporting.tables.trials_table import describe_counts, group_failures, result_text, state_words
from raybayes.reporting.text import duration, shorten, value_text
from raybayes.search.objective import Objective
from raybayes.store.layout import Layout
from raybayes.wording import NONE, number, with_error

MOST_CURVES = 3  # objectives with a history and learning curves
MOST_BEST = 8
_LARGE_SVG = 400_000  # bytes; the page holds a larger figure as PNG, if that is smaller


def draw_figures(
    summary: Summary, trials: pa.Table, reports: pa.Table, profile: pa.Table | None = None
) -> dict[str, tuple[Figure, str]]:
    """All figures that the sweep has data for, with captions, by file name."""
    main = summary.objectives[0]
    found: dict[str, tuple[Figure | None, str]] = {}
    for i, objective in enumerate(summary.objectives[:MOST_CURVES]):
        suffix = "" if i == 0 else f"-{i + 1}"
        mean = " The value of a configuration is the mean of its seeds." if summary.repeats > 1 else ""
        found[f"history{suffix}"] = (
            draw_history(trials, objective, reports),
            f"The {objective.name} of each trial, and the best so far.{mean}",
        )
        found[f"curves{suffix}"] = (
            draw_learning_curves(trials, reports, objective, summary.fidelity),
            f"The {objective.name} over training, one line per trial; pruned trials end where they were stopped.",
        )
    found["pareto"] = (
        draw_pareto_front(trials, summary.objectives),
        "The objectives against each other, with the Pareto front.",
    )
    found["importances"] = (
        draw_importances(summary.importances or {}, main, summary.intervals),
        f"Share of each parameter in reaching the best tenth of {main.name}, within the ranges of this sweep "
        "(PED-ANOVA). Lines: 5 to 95 % of bootstrap resamples of the trials.",
    )
    found["slices"] = (
        draw_slices(trials, main, summary.importances),
        f"The {main.name} over each parameter that varied. Colours show the order of the trials.",
    )
    found["parallel"] = (
        draw_parallel_coordinates(trials, main, summary.importances),
        "Each line is a finished trial. Below the axis (–): the parameter was inactive.",
    )
    found["timeline"] = draw_timeline(trials), "Which trial ran where and when. Long pauses between bursts are cut out."
    found["slots"] = (
        draw_slot_times(profile) if profile is not None else None,
        "How each slot spent its time; a slot is a process, or a group of processes, that trains one trial after the "
        "other. White: the slot did not exist.",
    )
    return {name: (figure, caption) for name, (figure, caption) in found.items() if figure is not None}


@dataclass(frozen=True)
class Page:
    """A page and its figures as files: name -> (SVG, PNG)."""

    html: str
    figures: Mapping[str, tuple[bytes, bytes]]


def make_page(
    summary: Summary,
    trials: pa.Table,
    reports: pa.Table,
    clock: Clock = WALL,
    findings: Findings | None = None,
    notice: str = "",
    profile: pa.Table | None = None,
) -> Page:
    """Draw all figures and make the page.

    Args:
        findings: of the project; its figures come after the general ones.
        notice: shown at the top of the page: why the project's figures are missing, for example.
        profile: how the slots spent their time, if the sweep had slots.
    """
    findings = findings or Findings()
    own = {f"{summary.project}-{file_name(title)}": (figure, title) for title, figure in findings.figures.items()}
    drawn = {**draw_figures(summary, trials, reports, profile), **own}
    files = {
        name: (style.render_figure(figure, "svg"), style.render_figure(figure, "png"))
        for name, (figure, _) in drawn.items()
    }
    pictures: dict[str, list[str]] = {"Figures": [], f"Figures of {summary.project}": []}
    for name, (svg, png) in files.items():
        title = f"Figures of {summary.project}" if name in own else "Figures"
        pictures[title].append(_picture(name, drawn[name][1], svg, png))
    tables = dict(findings.tables)
    if profile is not None and len(profile):
        tables["Time of the slots"] = to_percent(slot_shares(profile))
    return Page(render_page(summary, trials, reports, pictures, clock.now(), tables, notice), files)


def write_page(layout: Layout, page: Page) -> str:
    """Write the figures (PNG and SVG, into the sweep's folder of figures) and report.html.

    Returns:
        The path of the page, as users read it.

    Raises:
        StoreError: the storage cannot be written.
    """
    for name, (svg, png) in page.figures.items():
        layout.storage.write_bytes(layout.figure(name, "svg"), svg)
        layout.storage.write_bytes(layout.figure(name, "png"), png)
    layout.storage.write_bytes(layout.report_page, page.html.encode())
    return layout.storage.display_path(layout.report_page)


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
    return (
        '<!DOCTYPE html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(summary.name)}: raybayes report</title>\n<style>\n{css}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main>\n</body>\n</html>\n"
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


def _picture(name: str, caption: str, svg: bytes, png: bytes) -> str:
    as_png = len(svg) > _LARGE_SVG and len(png) < len(svg)
    kind, data = ("image/png", png) if as_png else ("image/svg+xml", svg)
    text = base64.b64encode(data).decode()
    return (
        f'<figure id="{escape(name)}">\n<img alt="{escape(caption)}" src="data:{kind};base64,{text}">\n'
        f"<figcaption>{escape(caption)}</figcaption>\n</figure>\n"
    )


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
