"""The facts of a sweep for the page: number of trials, seeds, nodes, duration, cost."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from html import escape
from typing import Any

import numpy as np
import pyarrow as pa
import yaml

from raybayes.reporting import ranking
from raybayes.reporting.figures.timeline import bars_of, lanes_of, work_time
from raybayes.reporting.summary import Summary
from raybayes.reporting.tables.trials_table import describe_counts
from raybayes.reporting.text import duration
from raybayes.wording import number

MOST_NODES = 8


def describe_run(summary: Summary, trials: pa.Table, reports: pa.Table) -> dict[str, str]:
    """The facts of a sweep by name, in the order of the page."""
    goals = ", ".join(f"{objective.label} ({objective.better})" for objective in summary.objectives)
    space = summary.spec.get("space")
    facts = {
        "project": summary.project,
        "objective": goals,
        "search": f"sampler {summary.sampler}, scheduler {summary.scheduler}" + (f", space {space}" if space else ""),
        "trials": f"{describe_counts(trials)}; {len(reports):,} reports, one per {summary.fidelity}",
        "seeds": _seeds(summary),
        **_times(summary, trials),
        "trained on": _nodes(trials),
        "started on": ", ".join(f"{name} {value}" for name, value in summary.hardware.items()),
        "versions": ", ".join(f"{name} {version}" for name, version in summary.versions.items()),
        "stored tables": ", ".join(summary.tables),
    }
    return {name: value for name, value in facts.items() if value}


def _seeds(summary: Summary) -> str:
    each = "one seed" if summary.repeats == 1 else f"{summary.repeats} seeds"
    return f"sweep seed {summary.seed}; each configuration with {each} derived from it"


def _times(summary: Summary, trials: pa.Table) -> dict[str, str]:
    """Duration, use of the machines, and cost of the training."""
    training_s = float(np.nansum(ranking.float_column(trials, "seconds")))
    bars = bars_of(trials)
    if not bars:
        return {}
    begin, end = np.array([bar.begin_s for bar in bars]), np.array([bar.end_s for bar in bars])
    time = work_time(begin, end, cut=0.0)
    lanes = {node: lanes_of([bar for bar in bars if bar.node == node]) for node in {bar.node for bar in bars}}
    n_lanes = sum(1 + max(lane for _, lane in members) for members in lanes.values())
    wall, at_work = duration(float(end.max() - begin.min())), duration(time.total_s)
    pauses = f", {at_work} of it in {summary.bursts} bursts" if summary.bursts > 1 else ""
    busy = (end - begin).sum() / (n_lanes * time.total_s) if time.total_s else 1.0
    gpus = f", {number(training_s * summary.gpus / 3600, 3)} GPU-hours" if summary.gpus else ", no GPU"
    return {
        "duration": f"{wall}{pauses}",
        "concurrency": f"up to {n_lanes} trials; their slots were busy {busy:.0%} of the working time",
        "cost": f"{number(training_s * summary.cpus / 3600, 3)} CPU-hours{gpus}: {duration(training_s)} of training, "
        f"{number(summary.cpus)} CPU{'' if summary.cpus == 1 else 's'} per trial",
    }


def _nodes(trials: pa.Table) -> str:
    found = Counter(node for node in trials["node"].to_pylist() if node).most_common()
    named = ", ".join(f"{node} ({n} trial{'' if n == 1 else 's'})" for node, n in found[:MOST_NODES])
    return named + (f" and {len(found) - MOST_NODES} more" if len(found) > MOST_NODES else "")


def render_facts(facts: Mapping[str, str]) -> str:
    """A table of two columns."""
    lines = "".join(f"<tr><th>{escape(name)}</th><td>{escape(value)}</td></tr>\n" for name, value in facts.items())
    return f'<table class="facts">\n{lines}</table>\n' if lines else ""


def render_specification(summary: Summary) -> str:
    """The specification with all defaults, as YAML."""
    if not summary.spec:
        return ""
    text = yaml.safe_dump(_plain(summary.spec), sort_keys=False, allow_unicode=True, width=100)
    return f"<pre>{escape(text)}</pre>"


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    return value if value is None or isinstance(value, bool | int | float | str) else str(value)
