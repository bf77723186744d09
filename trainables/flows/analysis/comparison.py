"""Runs that differ only in the label split as one row: mean and standard error, beside methods without a flow."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import pyarrow as pa

Row = dict[str, Any]

_MOST_LINES = 15
# What distinguishes rows; a column with one value in all of them is not shown.
_WHAT = ("dataset", "preset", "labels", "objective", "labelled_share", "trunk", "head", "steps", "batch")
_SCORES = {"test_error": "test error", "test_bpd": "test bpd", "test_nll": "test nll", "seconds": "CPU s"}


def comparison_table(runs: pa.Table) -> pa.Table:
    """One row per setting, lowest validation error first, then the controls on the same labels.

    Args:
        runs: the table "run" of a sweep; a setting's other values are in its column `config`.

    Returns:
        Columns of the setting as far as they differ, n (runs), and means with standard errors ("x", "x.se").
    """
    lines = _lines(runs)
    listed, shown = lines[:_MOST_LINES], _differing(lines)
    table = [{**_setting(rows, shown), **_scores(rows)} for rows in listed]
    table += [line for rows in _same_labels(runs.to_pylist()) for line in _controls(rows, shown)]
    names = list(dict.fromkeys(name for line in table for name in line))
    return pa.Table.from_pylist([{name: line.get(name) for name in names} for line in table])


def settings(runs: pa.Table) -> list[tuple[str, list[Row]]]:
    """What distinguishes each row of the table from the others, in words, and its runs."""
    lines = _lines(runs)
    shown = _differing(lines)
    named = [{name: value for name, value in _setting(rows, shown).items() if name != "trial"} for rows in lines]
    return [(", ".join(map(_in_words, one, one.values())), rows) for one, rows in zip(named, lines, strict=True)]


def _in_words(name: str, value: Any) -> str:
    return value if isinstance(value, str) else f"{name.replace('_', ' ')} {value:g}"


def _lines(runs: pa.Table) -> list[list[Row]]:
    """Runs that differ only in the label split, lowest mean validation error first."""
    groups: dict[str, list[Row]] = {}
    for row in runs.to_pylist():
        groups.setdefault(row["config_without_split"], []).append(row)
    return sorted(groups.values(), key=lambda rows: _mean(row["error"] for row in rows))


def _differing(lines: Sequence[list[Row]]) -> list[str]:
    return [name for name in _WHAT if len({rows[0][name] for rows in lines}) > 1]


def _setting(rows: Sequence[Row], shown: Sequence[str]) -> Row:
    first = rows[0]
    trials = [row["trial"] for row in rows]
    labels_only = "labels only" if first["labelled_share"] == 1 else "flow"
    return {"method": labels_only, "trial": trials[0] if len(set(trials)) == 1 else None,
            **{name: first[name] for name in shown}}  # fmt: skip


def _scores(rows: Sequence[Row]) -> Row:
    line: Row = {"n": len(rows)}
    for name, title in _SCORES.items():
        line[title], line[f"{title}.se"] = mean_and_error(row[name] for row in rows)
    return line


def _same_labels(rows: Iterable[Row]) -> list[list[Row]]:
    """Runs on the same data and number of labels, one per label split."""
    groups: dict[tuple[Any, ...], dict[int, Row]] = {}
    for row in rows:
        groups.setdefault((row["dataset"], row["preset"], row["labels"]), {}).setdefault(row["split_seed"], row)
    return [list(group.values()) for group in groups.values()]


def _controls(rows: Sequence[Row], shown: Sequence[str]) -> list[Row]:
    given = {name: rows[0][name] for name in shown if name in ("dataset", "preset", "labels")}
    lines = []
    for name, title in (("logreg_error", "logistic regression"), ("nn_error", "nearest neighbour")):
        known = [row[name] for row in rows if row[name] is not None]
        if known:
            mean, error = mean_and_error(known)
            lines.append({"method": title, **given, "n": len(known), "test error": mean, "test error.se": error})
    truths = [row for row in rows if row["true_nll"] is not None]
    if truths:
        line: Row = {"method": "truth", **given, "n": len(truths)}
        for name, title in (("bayes_error", "test error"), ("true_nll", "test nll")):
            line[title], line[f"{title}.se"] = mean_and_error(row[name] for row in truths)
        lines.append(line)
    return lines


def _mean(values: Iterable[float]) -> float:
    return mean_and_error(values)[0]


def mean_and_error(values: Iterable[float]) -> tuple[float, float]:
    """Mean and standard error; the error of a single value is unknown (NaN)."""
    known = list(values)
    mean = sum(known) / len(known)
    if len(known) < 2:
        return mean, math.nan
    variance = sum((value - mean) ** 2 for value in known) / (len(known) - 1)
    return mean, math.sqrt(variance / len(known))
