"""A sweep at one moment on a terminal: pure functions of what was read from its folder."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from raybayes.reporting import ranking
from raybayes.reporting.tables.trials_table import group_failures, result_text, state_words
from raybayes.reporting.text import duration, shorten
from raybayes.search.objective import Objective
from raybayes.wording import number, with_error

MOST_RUNNING = 12
MOST_ENDED = 5
_BLOCKS = "▁▂▃▄▅▆▇█"
_GONE = "·"
_OLD_S = 30.0  # an older measurement of the machines says its age
_STYLES = {"complete": "green", "pruned": "dim", "failed": "red", "running": "cyan", "paused": "yellow"}


@dataclass(frozen=True)
class ActiveBurst:
    """The burst that works on the sweep: its machine, process, and seconds since its last heartbeat."""

    host: str
    pid: int
    silent_s: float


@dataclass(frozen=True)
class View:
    """The state of a sweep now.

    Args:
        name, path, project, fidelity: as in the summary.
        objectives: of the sweep; curves are those of the first.
        wanted: trials in total.
        trials: one row per trial.
        curves: (trial, repeat) -> values of the first objective by step.
        steps: (trial, repeat) -> last step.
        now: Unix time.
        active_burst: the burst that works on it; None if there is none.
        usage: of the machines, as the burst last measured it; empty if unknown.
    """

    name: str
    path: str
    project: str
    fidelity: str
    objectives: Sequence[Objective]
    wanted: int
    trials: pa.Table
    curves: Mapping[tuple[int, int], Sequence[float]]
    steps: Mapping[tuple[int, int], int]
    now: float
    active_burst: ActiveBurst | None = None
    usage: Mapping[str, Any] = field(default_factory=dict)

    @property
    def states(self) -> Counter[str]:
        """Number of trials by state, in words. Without an active burst, running trials are paused."""
        words = state_words(self.trials)
        return Counter("paused" if word == "running" and self.active_burst is None else word for word in words)

    @property
    def ended(self) -> int:
        """Trials that have ended."""
        return len(self.trials) - self.states["running"] - self.states["paused"]

    @property
    def finished(self) -> bool:
        """Whether all trials have ended and no burst is active."""
        return self.active_burst is None and self.ended >= self.wanted

    @property
    def best(self) -> int | None:
        """The best trial by the first objective."""
        return next(iter(ranking.best_trials(self.trials, self.objectives[:1])), None)


def sparkline(values: Sequence[float], width: int = 24) -> str:
    """Values as a row of blocks, lowest to highest; "·" for a value that is not finite.

    With more values than columns, each column shows the last of its share, so the newest is always shown.
    """
    if not values:
        return ""
    picked = values
    if len(values) > width:
        picked = [values[math.ceil((i + 1) * len(values) / width) - 1] for i in range(width)]
    finite = [value for value in picked if math.isfinite(value)]
    low, high = (min(finite), max(finite)) if finite else (0.0, 0.0)
    span = high - low
    if not span or not math.isfinite(span):
        return "".join(_BLOCKS[3] if math.isfinite(value) else _GONE for value in picked)
    return "".join(
        _BLOCKS[round((value - low) / span * (len(_BLOCKS) - 1))] if math.isfinite(value) else _GONE for value in picked
    )


def best_so_far(view: View) -> list[float]:
    """The best value of the first objective after each finished trial, in the order in which they ended."""
    objective = view.objectives[0]
    rows = np.flatnonzero(ranking.finished_mask(view.trials, [objective]))
    ended, value = (
        ranking.float_column(view.trials, "ended")[rows],
        ranking.float_column(view.trials, objective.name)[rows],
    )
    running = np.minimum.accumulate(objective.sign * value[np.argsort(ended, kind="stable")])
    return [float(one) for one in objective.sign * running]


def estimate_seconds_left(view: View) -> float | None:
    """Estimated seconds until the last trial ends; None if there is no basis for an estimate.

    The mean time of ended trials, including pruned ones, times the rest of running and future trials, divided by the
    number of concurrent trials.
    """
    started, ended = ranking.float_column(view.trials, "started"), ranking.float_column(view.trials, "ended")
    state = np.array(state_words(view.trials))
    over = np.isfinite(ended) & np.isfinite(started) & (state != "failed")
    running = (state == "running") & np.isfinite(started)
    if view.active_burst is None or not over.any() or not running.any():
        return None
    # Training time, not the time between start and end, in which a paused trial has waited.
    mean_s = float(np.nanmean(ranking.float_column(view.trials, "seconds")[over])) or float(
        (ended - started)[over].mean()
    )
    waiting = max(0, view.wanted - view.ended - int(running.sum()))
    rest = np.maximum(mean_s - (view.now - started[running]), 0.1 * mean_s).sum() + waiting * mean_s
    return float(rest / running.sum())


def render_screen(view: View, width: int = 100) -> RenderableType:
    """The whole view, for a terminal of `width` columns."""
    parts: list[RenderableType] = [_head(view, width), _bar(view), Text("")]
    parts += [Text(shorten(line, width), style=style) for line, style in _facts(view)]
    for title, table in (("running", _running(view)), ("ended last", _ended(view))):
        if table is not None:
            parts += [Text(f"\n{title}", style="bold"), table]
    parts += [Text(shorten(line, width), style="red") for line in failure_lines(view)]
    parts += [Text(""), Text(shorten(view.path, width), style="dim")]
    return Group(*parts)


def _head(view: View, width: int) -> Text:
    name = Text(view.name, style="bold")
    name.append(f"  {view.project}  ", style="dim")
    name.append(describe_status(view), style="cyan" if view.active_burst else "")
    name.truncate(width, overflow="ellipsis")
    return name


def describe_status(view: View) -> str:
    """What the sweep is doing, in words."""
    if view.active_burst is not None:
        silent = duration(view.active_burst.silent_s)
        return f"running on {view.active_burst.host}, process {view.active_burst.pid}, last heartbeat {silent} ago"
    if view.finished:
        return "finished"
    return f"paused, no burst is running; resume with: raybayes resume {view.path}"


def _bar(view: View) -> RenderableType:
    line = Table.grid(padding=(0, 2))
    left = estimate_seconds_left(view)
    bar = ProgressBar(total=max(view.wanted, 1), completed=view.ended, width=24)
    line.add_row(bar, f"{view.ended} of {view.wanted}", "" if left is None else f"about {duration(left)} left")
    states = Text(", ").join(Text(f"{n} {word}", style=_STYLES.get(word, "")) for word, n in view.states.items())
    return Group(line, states)


def _facts(view: View) -> list[tuple[str, str]]:
    found = []
    for objective in view.objectives:
        one = ranking.best_trials(view.trials, [objective])
        if one:
            row = view.trials["trial"].to_pylist().index(one[0])
            curve = f"   {sparkline(best_so_far(view))}" if objective == view.objectives[0] else ""
            text = f"best {objective.label}  {result_text(view.trials, objective, row)} in trial {one[0]}{curve}"
            found.append((text, "bold green"))
    if machines := describe_usage(view.usage):
        age = view.now - view.usage.get("time", view.now)
        found.append(((f"{duration(age)} ago: " if age > _OLD_S else "") + machines, ""))
    return found


def describe_usage(usage: Mapping[str, Any]) -> str:
    """The use of the machines in one line: CPUs and GPUs that trials hold, and their load."""
    if not usage:
        return ""
    load = usage.get("load", {})
    parts = []
    for kind in usage.get("total", {}):
        busy = f", {load[kind.lower()]:.0f} % busy" if kind.lower() in load else ""
        parts.append(f"{kind} {number(usage['taken'][kind])} of {number(usage['total'][kind])} in use{busy}")
    if "memory" in load:
        parts.append(f"memory {load['memory']:.0f} % full")
    nodes = usage.get("nodes", 1)
    return "   ".join([*parts, *([f"{nodes} nodes"] if nodes > 1 else [])])


def _table(*numeric: str, text: Sequence[str] = ()) -> Table:
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for name in numeric:
        table.add_column(name, justify="right", no_wrap=True)
    for name in text:
        table.add_column(name, no_wrap=True)
    return table


def _running(view: View) -> Table | None:
    objective = view.objectives[0]
    rows = [row for row in view.trials.to_pylist() if row["state"] == "RUNNING"]
    if view.active_burst is None or not rows:
        return None
    table = _table("trial", view.fidelity, objective.label, "since", text=("node", "curve"))
    for row in rows[:MOST_RUNNING]:
        key = max((key for key in view.steps if key[0] == row["trial"]), default=(row["trial"], 0))
        curve = view.curves.get(key, ())
        name = f"{row['trial']}" + (f" r{key[1]}" if key[1] else "")
        value, since = (number(curve[-1]) if curve else "–"), view.now - (row["started"] or view.now)
        step = str(view.steps.get(key, 0))
        table.add_row(name, step, value, duration(since), shorten(row["node"] or "–", 24), sparkline(curve))
    if len(rows) > MOST_RUNNING:
        table.add_row("…", "", f"{len(rows) - MOST_RUNNING} more")
    return table


def _ended(view: View) -> Table | None:
    objective = view.objectives[0]
    words = state_words(view.trials)
    rows = [(row, word) for row, word in zip(view.trials.to_pylist(), words, strict=True) if row["ended"]]
    rows.sort(key=lambda pair: -pair[0]["ended"])
    if not rows:
        return None
    table = _table("trial", objective.label, "time", text=("state", "curve"))
    for row, word in rows[:MOST_ENDED]:
        curve = view.curves.get((row["trial"], 0), ())
        value = row.get(objective.name)
        mean, error = (math.nan if x is None else float(x) for x in (value, row.get(f"{objective.name}.se")))
        state = Text(word, style=_STYLES.get(word, ""))
        table.add_row(str(row["trial"]), with_error(mean, error), duration(row["seconds"]), state, sparkline(curve))
    return table


def failure_lines(view: View) -> list[str]:
    """The most frequent causes of failure, one line each."""
    return [f"{len(which)} failed, e.g. trial {which[0]}: {cause}" for cause, which in group_failures(view.trials)[:3]]
