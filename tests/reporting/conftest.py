"""Tables of trials and reports as a sweep leaves them: made up, but with the habits of real ones."""

import numpy as np
import pyarrow as pa
import pytest

from raybayes.reporting.summary import Summary
from raybayes.search.objective import Objective

ACCURACY = Objective("accuracy", "maximize", "%")
NLL = Objective("nll", "minimize", "nats")
START = 1_780_000_000.0


def _trial(number, rng, steps, bad_rate):
    method = ["single", "sse", "swag"][int(rng.integers(3))]
    lr = float(10 ** rng.uniform(-4, 0))
    config = {
        "lr": lr,
        "method": method,
        "batch": int(2 ** rng.integers(5, 9)),
        "augment": bool(rng.integers(2)),
        "weight_decay": float(10 ** rng.uniform(-6, -2)),
        "sse.cycles": int(rng.integers(2, 9)) if method == "sse" else None,
        "swag.rank": int(rng.integers(5, 41)) if method == "swag" else None,
    }
    quality = 93 - 6 * (np.log10(lr) + 1.6) ** 2 + 1.5 * (method == "sse") + rng.normal(0, 0.4)
    curve = max(quality, 10.0) - (max(quality, 10.0) - 10) * np.exp(-np.arange(1, steps + 1) / (steps / 5))
    curve = curve + rng.normal(0, 0.3, steps)
    state, n = "COMPLETE", steps
    if rng.random() < bad_rate:
        state, n = "FAIL", int(rng.integers(0, 4))
    elif number > 8 and quality < 90 and rng.random() < 0.8:
        state, n = "PRUNED", int(min(steps, 3 * 3 ** rng.integers(0, 3)))
    return config, state, curve[:n]


def make_sweep(n=40, *, steps=30, seed=0, nodes=2, slots=3, bad_rate=0.06, repeats=False, running=2, gap_after=None):
    """(trials, reports): an accuracy sweep with conditional parameters, pruning, failures and trials that still run."""
    rng = np.random.default_rng(seed)
    free = {(f"node{i}", slot): START for i in range(nodes) for slot in range(slots)}
    trials, reports = [], []
    for number in range(n):
        config, state, curve = _trial(number, rng, steps, bad_rate)
        if number >= n - running:
            state, curve = "RUNNING", curve[: steps // 3]
        lane = min(free, key=free.get)
        per_step = 2.0 + 400.0 / config["batch"] * rng.uniform(0.8, 1.2)
        started = free[lane] + (3600 * 30 if number == gap_after else 0)
        if number == gap_after:
            free = dict.fromkeys(free, started)
        ended = started + per_step * max(len(curve), 1) + 1.0
        free[lane] = ended
        fine = len(curve) > 0 and state != "FAIL"
        trials.append(
            {
                "trial": number,
                "state": state,
                "steps": len(curve),
                "accuracy": float(curve[-1]) if fine else None,
                "nll": float(0.1 + (100 - curve[-1]) / 30 + rng.normal(0, 0.02)) if fine else None,
                **{f"config.{name}": value for name, value in config.items()},
                "seconds": per_step * len(curve),
                "started": started,
                "ended": None if state == "RUNNING" else ended,
                "node": lane[0],
                "attempts": 1 + int(rng.random() < 0.05),
                "failure": "Traceback (most recent call last):\n  ...\nValueError: the loss is nan after step 3 of 30"
                if state == "FAIL"
                else None,
            }
        )
        if repeats:
            trials[-1]["accuracy.se"] = float(rng.uniform(0.05, 0.4)) if state == "COMPLETE" else None
        for step, value in enumerate(curve, start=1):
            reports.append(
                {
                    "trial": number,
                    "repeat": 0,
                    "attempt": 0,
                    "step": step,
                    "seconds": per_step * step,
                    "time": started + per_step * step,
                    "node": lane[0],
                    "accuracy": float(value),
                    "nll": float(0.1 + (100 - value) / 30),
                }
            )
    return pa.Table.from_pylist(trials, schema=_schema(repeats)), pa.Table.from_pylist(reports, schema=_REPORTS)


def _schema(repeats):
    fields = [("trial", pa.int64()), ("state", pa.string()), ("steps", pa.int64()), ("accuracy", pa.float64())]
    fields += [("accuracy.se", pa.float64())] if repeats else []
    fields += [
        ("nll", pa.float64()), ("config.lr", pa.float64()), ("config.method", pa.string()),
        ("config.batch", pa.int64()), ("config.augment", pa.bool_()),
        ("config.weight_decay", pa.float64()), ("config.sse.cycles", pa.int64()),
        ("config.swag.rank", pa.int64()), ("seconds", pa.float64()), ("started", pa.float64()), ("ended", pa.float64()),
        ("node", pa.string()), ("attempts", pa.int64()), ("failure", pa.string()),
    ]  # fmt: skip
    return pa.schema(fields)


_REPORTS = pa.schema([
    ("trial", pa.int64()), ("repeat", pa.int64()), ("attempt", pa.int64()), ("step", pa.int64()),
    ("seconds", pa.float64()), ("time", pa.float64()), ("node", pa.string()), ("accuracy", pa.float64()),
    ("nll", pa.float64()),
])  # fmt: skip


def make_summary(*objectives, **changes):
    facts = {
        "name": "ensembles-lr",
        "path": "runs/ensembles-lr",
        "project": "ensembles",
        "objectives": objectives or (ACCURACY,),
        "fidelity": "epoch",
        "sampler": "tpe",
        "scheduler": "asha:eta=3",
        "seed": 0,
        "versions": {"raybayes": "0.1.0", "torch": "2.14.1"},
        "hardware": {"nodes": 2, "CPU": 6},
        "spec": {"project": "ensembles", "trials": 40, "config": {"dataset": "mnist"}},
        "importances": {"lr": 0.71, "method": 0.12, "batch": 0.08, "weight_decay": 0.05, "augment": 0.04},
        "tables": ("members", "curves"),
    }
    return Summary(**{**facts, **changes})


@pytest.fixture(scope="session")
def sweep():
    """Makes (trials, reports); see make_sweep."""
    return make_sweep


@pytest.fixture(scope="session")
def summary():
    """Makes a Summary for objectives; see make_summary."""
    return make_summary


@pytest.fixture
def empty():
    """(trials, reports) of a sweep that has not started one trial."""
    return _schema(False).empty_table(), _REPORTS.empty_table()


@pytest.fixture(scope="session")
def accuracy():
    return ACCURACY


@pytest.fixture(scope="session")
def nll():
    return NLL
