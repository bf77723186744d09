"""Findings of a sweep: configurations at equal iterations, at equal processor time, and with their costs."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
from matplotlib.figure import Figure

from raybayes.contract import Findings, Finished
from trainables.autoregressive.analysis import figures
from trainables.autoregressive.analysis.comparison import Line, as_table, lines, mean_and_error

_EXTRA = ("test_hamming", "test_cer", "test_bleu", "test_kendall", "test_f1")
_GRID = ("rollin", "rollout", "loss")


def findings(finished: Finished) -> Findings:
    """Tables of all configurations, folds and seeds pooled, and figures of their curves and costs.

    The first title says if MLE or label smoothing is missing: without these controls, a gain of cost-sensitive
    training cannot be distinguished from one of soft targets.
    """
    found = lines(finished)
    if not found:
        return Findings()
    title = f"Configurations at their last report; SeaRNN: loss, roll-in/roll-out{_controls(found)}"
    tables = {title: as_table([_last(line) for line in found])}
    for axis, unit in (("iteration", "iterations"), ("seconds", "processor seconds of training")):
        where = _common(found, axis)
        rows = [_equal(line, axis, where) for line in found]
        if len(found) > 1 and any(row["n"] for row in rows):
            tables[f"Configurations at equal cost: {where:.4g} {unit}"] = as_table(rows)
    if grid := _grid(found):
        tables["Roll-in × roll-out × loss, with the controls"] = as_table(grid)
    if notes := _notes(finished):
        tables["Notes on these numbers"] = pa.table({"note": notes})
    return Findings(
        tables, _figures(finished, found), as_table([_row(line, run) for line in found for run in line.runs])
    )


def _controls(found: list[Line]) -> str:
    named = {(line.config["method"], bool(line.config.get("label_smoothing"))) for line in found}
    missing = [name for name, key in (("MLE", ("mle", False)), ("label smoothing", ("mle", True))) if key not in named]
    return f" (controls missing in this sweep: {' and '.join(missing)})" if missing else ""


def _last(line: Line) -> dict[str, Any]:
    """Means and standard errors over runs of the last report."""
    row: dict[str, Any] = {"configuration": line.name, "n": len(line.runs), "folds": line.folds}
    for title, metric in (("test error %", "test_error"), ("test sequence error %", "test_sequence_error"),
                          ("validation error %", "val_error")):  # fmt: skip
        row[title], row[f"{title}.se"] = mean_and_error(line.last(metric))
    if (bleu := mean_and_error(line.last("test_bleu")))[0] is not None:
        row["test BLEU"], row["test BLEU.se"] = bleu
    row["iterations"] = mean_and_error(line.last("iteration"))[0]
    row["CPU s"] = mean_and_error(run.seconds[-1] for run in line.runs)[0]
    return row


def _common(found: list[Line], axis: str) -> float:
    """The largest iteration, or processor time, that every run reached."""
    ends = [
        run.reports[-1]["iteration"] if axis == "iteration" else run.seconds[-1] for line in found for run in line.runs
    ]
    return float(min(ends))


def _equal(line: Line, axis: str, where: float) -> dict[str, Any]:
    """Test metrics if they were reported throughout, else those of validation."""
    test = bool(line.values(axis, where, "test_error")) and len(line.values(axis, where * 0.9, "test_error")) > 0
    prefix, title = ("test", "test") if test else ("val", "validation")
    errors = line.values(axis, where, f"{prefix}_error")
    row: dict[str, Any] = {"configuration": line.name, "n": len(errors), "on": title}
    for name, metric in (("error %", "error"), ("sequence error %", "sequence_error")):
        row[name], row[f"{name}.se"] = mean_and_error(line.values(axis, where, f"{prefix}_{metric}"))
    return row


def _grid(found: list[Line]) -> list[dict[str, Any]]:
    """One row per roll-in and roll-out, one pair of columns per loss; the controls, which have neither, below.

    Of several configurations with one roll-in, roll-out and loss, the best on validation.
    """
    searnn = [line for line in found if line.config["method"] == "searnn"]
    if len({tuple(line.config[name] for name in _GRID) for line in searnn}) < 4:
        return []
    losses = sorted({line.config["loss"] for line in searnn})
    rows = []
    for place in sorted({(line.config["rollin"], line.config["rollout"]) for line in searnn}):
        row: dict[str, Any] = {"roll-in": place[0], "roll-out": place[1], "n": 0}
        for loss in losses:
            mine = [line for line in searnn if (line.config["rollin"], line.config["rollout"]) == place]
            mine = [line for line in mine if line.config["loss"] == loss]
            best = min(mine, key=_validation, default=None)  # never by the test error, which is shown
            row[loss], row[f"{loss}.se"] = mean_and_error(best.last("test_error")) if best else (None, None)
            row["n"] = max(row["n"], len(best.runs) if best else 0)
        rows.append(row)
    for line in found:
        if line.config["method"] != "searnn":
            row = {"roll-in": line.name, "roll-out": "", "n": len(line.runs)}
            mean, error = mean_and_error(line.last("test_error"))
            for loss in losses:
                row[loss], row[f"{loss}.se"] = mean, error
            rows.append(row)
    return rows


def _validation(line: Line) -> float:
    mean, _ = mean_and_error(line.last("val_error"))
    return math.inf if mean is None else mean


def _notes(finished: Finished) -> list[str]:
    listed = finished.table("setup")["notes"].to_pylist()
    return list(dict.fromkeys(note for notes in listed for note in notes))


def _figures(finished: Finished, found: list[Line]) -> dict[str, Figure]:
    drawn = {
        "Error against processor time of training: mean over runs, bands of one standard error": figures.curves(
            found, "seconds"
        ),
        "Error against iterations": figures.curves(found, "iteration"),
    }
    if "costs" in finished.tables:
        best = found[0]
        table = finished.table("costs", best.runs[0].trial, best.runs[0].repeat)
        drawn[f"Cost of every tried token after a correct prefix, completed by the model: {best.name}"] = figures.heat(
            table
        )
    return drawn


def _row(line: Line, run: Any) -> dict[str, Any]:
    last = run.reports[-1]
    kept = ("val_error", "val_sequence_error", "test_error", "test_sequence_error", *_EXTRA)
    return {
        "configuration": line.name,
        "trial": run.trial,
        "repeat": run.repeat,
        "iteration": last["iteration"],
        "cpu_seconds": run.seconds[-1],
        **{name: last.get(name) for name in kept},
    }
