"""What a sweep says: best trials by label, means and standard errors, paired differences, figures."""

import math

import numpy as np
import pyarrow as pa
import pytest
import torch
from matplotlib.figure import Figure

import raybayes as rb
from trainables.permutations.analysis.comparison import (
    curve_table,
    entries,
    mean_and_error,
    score_table,
    variance_table,
)
from trainables.permutations.recording import standard_error

HERE = {"executor": "local"}


class Stored:
    """Tables of a sweep of two trials on one place: REINFORCE twice, and the exact gradient."""

    def __init__(self, tables):
        self._tables = tables

    @property
    def tables(self):
        return sorted(self._tables)

    def table(self, name, trial=None, repeat=None):
        rows = [row for row in self._tables[name] if trial in (None, row["trial"])]
        return pa.Table.from_pylist(rows)


def test_the_standard_error_is_over_runs_or_over_queries():
    values = torch.tensor([1.0, 2.0, 4.0])
    expected = values.std().item() / math.sqrt(3)
    assert standard_error(values) == pytest.approx(expected)
    assert standard_error(values[:, None]) == pytest.approx(expected), "runs of one problem"
    assert standard_error(values.expand(5, 3)) == pytest.approx(expected), "queries, each with 5 runs"
    assert standard_error(values[:1]) == 0


def curve(trial, estimator, costs, samples=1):
    """Costs by run and report."""
    return [
        {"trial": trial, "repeat": 0, "part": "rank-0", "run": float(run), "update": 10.0 * (i + 1),
         "evaluations": 24.0 if estimator == "exact" else 10.0 * samples * (i + 1), "cost": cost,
         "log_grad_var": -float(i), "best": 1.0, "mode": cost, "estimator": estimator, "model": "plackett_luce",
         "samples": samples, "place": "toy"}
        for run, row in enumerate(costs) for i, cost in enumerate(row)
    ]  # fmt: skip


def scored(method, metric, values, trial=0):
    return [
        {"trial": trial, "repeat": 0, "part": "rank-0", "method": method, "metric": metric, "run": run, "unit": unit,
         "value": value, "evaluations": 50}
        for run, row in enumerate(values) for unit, value in enumerate(row)
    ]  # fmt: skip


@pytest.fixture
def stored():
    curves = curve(0, "reinforce", [[3.0, 2.0], [5.0, 4.0]]) + curve(1, "reinforce", [[3.0, 2.5], [5.0, 1.5]])
    curves += curve(2, "exact", [[1.1, 1.0], [1.1, 1.0]])
    scores = [row for trial in range(3) for row in scored("trained", "cost", [[1.0], [3.0]], trial)]
    scores += [row for trial in range(3) for row in scored("annealing", "cost", [[2.0], [2.0]], trial)]
    return Stored({"curves": curves, "scores": scores})


def test_each_label_is_its_best_trial(stored):
    ((place, listed),) = entries(stored).items()
    assert place == "toy"
    assert [(entry.label, entry.trial) for entry in listed] == [("exact", 2), ("reinforce", 1)]
    assert listed[0].evaluations.tolist() == listed[1].evaluations.tolist() == [10, 20]  # exact: updates


def test_tables_hold_means_and_standard_errors(stored):
    ((_, listed),) = entries(stored).items()
    row = curve_table(listed).to_pylist()[1]
    assert (row["estimator"], row["n"], row["20"], row["20.se"]) == ("reinforce", 2, 2.0, 0.5)
    assert row["to 1.3"] == "never"  # the lowest cost is 1, the first report of reinforce 4
    assert curve_table(listed).to_pylist()[0]["to 1.3"] == "10"
    assert [row["estimator"] for row in variance_table(listed).to_pylist()] == ["reinforce"]
    rows = {row["method"]: row for row in score_table(listed).to_pylist()}
    assert (rows["reinforce"]["cost"], rows["reinforce"]["cost.se"], rows["reinforce"]["n"]) == (2.0, 1.0, 2)
    assert (rows["annealing"]["cost"], rows["annealing"]["cost.se"]) == (2.0, 0.0)


def test_rankings_are_compared_query_by_query():
    curves = curve(0, "rloo", [[3.0, 2.0], [5.0, 4.0]], 4)
    mine, theirs = np.array([[0.8, 0.6, 0.4], [0.6, 0.6, 0.6]]), np.array([[0.5, 0.6, 0.4], [0.5, 0.6, 0.4]])
    scores = scored("trained", "ndcg10", mine.tolist()) + scored("listnet", "ndcg10", theirs.tolist())
    ((_, listed),) = entries(Stored({"curves": curves, "scores": scores})).items()
    row = score_table(listed).to_pylist()[0]
    gain = mine.mean(0) - theirs.mean(0)
    assert (row["method"], row["n"]) == ("rloo, K = 4", 3)
    assert row["ndcg10"] == pytest.approx(0.6)
    assert row["- ListNet"] == pytest.approx(gain.mean())
    assert row["- ListNet.se"] == pytest.approx(gain.std(ddof=1) / math.sqrt(3))


def test_one_value_has_no_error_and_rounding_is_none():
    assert math.isnan(mean_and_error(np.array([2.0]))[1])
    assert mean_and_error(np.array([1e3, 1e3 + 1e-13]))[1] == 0


@pytest.mark.parametrize(
    ("values", "figures"),
    [
        ({"task": "tsp", "tsp.instance": "burma14"}, ("Best tour",)),
        ({"task": "causal", "causal.graph": "sachs", "causal.score": "bic"}, ("Graph of",)),
        ({"task": "ranking", "evaluations": 32}, ()),
    ],
    ids=["tour", "graph", "ranking"],
)
def test_a_run_has_findings(values, figures, tmp_path):
    settings = {"estimator": "rloo", "samples": 8, "evaluations": 160, "runs": 2, "reports": 2, "eval_samples": 16}
    run = rb.train("permutations", {**settings, **values}, storage=str(tmp_path), name="r", **HERE)
    found = run.findings()
    assert all(isinstance(figure, Figure) for figure in found.figures.values())
    captions = list(found.figures)
    assert captions[0].startswith("E f and LogGradVar")
    assert len(captions) == 1 + len(figures)
    assert all(caption.startswith(start) for caption, start in zip(captions[1:], figures, strict=True))
    (methods,) = (table for title, table in found.tables.items() if title.startswith("Methods"))
    assert {"rloo, K = 8", "random search", "annealing"} <= set(methods["method"].to_pylist())
