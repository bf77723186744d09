"""Makes report.html: one page with all results of a sweep, which needs no network and prints well."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape

import pyarrow as pa
from matplotlib.figure import Figure

from raybayes.clock import WALL, Clock
from raybayes.contract import Findings
from raybayes.reporting.figures import style
from raybayes.reporting.figures.history import draw_history
from raybayes.reporting.figures.importances import draw_importances
from raybayes.reporting.figures.learning_curves import draw_learning_curves
from raybayes.reporting.figures.parallel_coordinates import draw_parallel_coordinates
from raybayes.reporting.figures.pareto_front import draw_pareto_front
from raybayes.reporting.figures.slices import draw_slices
from raybayes.reporting.figures.slot_times import draw_slot_times
from raybayes.reporting.figures.timeline import draw_timeline
from raybayes.reporting.page.html import render_page
from raybayes.reporting.summary import Summary
from raybayes.reporting.tables.findings import file_name
from raybayes.reporting.tables.slot_shares import slot_shares, to_percent
from raybayes.store.layout import Layout

MOST_CURVES = 3  # objectives with a history and learning curves
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
    chosen: Mapping[str, tuple[Figure, str]] | None = None,
) -> Page:
    """Draw all figures and make the page.

    Args:
        findings: of the project; its figures come after the general ones.
        notice: shown at the top of the page: why the project's figures are missing, for example.
        profile: how the slots spent their time, if the sweep had slots.
        chosen: more figures with their captions, by file name.
    """
    findings = findings or Findings()
    own = {f"{summary.project}-{file_name(title)}": (figure, title) for title, figure in findings.figures.items()}
    drawn = {**draw_figures(summary, trials, reports, profile), **(chosen or {}), **own}
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


def _picture(name: str, caption: str, svg: bytes, png: bytes) -> str:
    as_png = len(svg) > _LARGE_SVG and len(png) < len(svg)
    kind, data = ("image/png", png) if as_png else ("image/svg+xml", svg)
    text = base64.b64encode(data).decode()
    return (
        f'<figure id="{escape(name)}">\n<img alt="{escape(caption)}" src="data:{kind};base64,{text}">\n'
        f"<figcaption>{escape(caption)}</figcaption>\n</figure>\n"
    )
