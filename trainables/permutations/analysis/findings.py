"""Findings of a sweep or run, from the tables that its trials stored."""

from __future__ import annotations

import pyarrow as pa
from matplotlib.figure import Figure

from raybayes.contract import Findings, Finished
from trainables.permutations.analysis import figures
from trainables.permutations.analysis.comparison import Entry, curve_table, entries, score_table, variance_table


def findings(finished: Finished) -> Findings:
    """The estimators by their best trials, with the controls; separately for each task and instance."""
    if not {"curves", "scores"} <= set(finished.tables):
        return Findings()
    tables: dict[str, pa.Table] = {}
    drawn: dict[str, Figure] = {}
    for place, listed in entries(finished).items():
        tables[f"E f after given numbers of evaluations, {place}"] = curve_table(listed)
        tables[f"LogGradVar after given numbers of evaluations, {place}"] = variance_table(listed)
        if (scores := score_table(listed)) is not None:
            tables[f"Methods, {place}"] = scores
        drawn[f"E f and LogGradVar, {place}: mean over runs, bands of one standard error"] = figures.curves(listed)
        drawn |= _pictures(finished, place, listed[0])
    return Findings(tables, drawn, finished.table("scores"))


def _pictures(finished: Finished, place: str, best: Entry) -> dict[str, Figure]:
    drawn = {}
    if "tour" in finished.tables and (rows := finished.table("tour", best.trial).to_pylist()):
        first = [row for row in rows if row["repeat"] == rows[0]["repeat"]]
        drawn[f"Best tour of {best.label}, {place}"] = figures.tour(first)
    if "graphs" in finished.tables and (rows := finished.table("graphs", best.trial).to_pylist()):
        first = [row for row in rows if (row["repeat"], row["run"]) == (rows[0]["repeat"], 0)]
        drawn[f"Graph of {best.label}, first run, {place}"] = figures.graphs(first)
    return drawn
