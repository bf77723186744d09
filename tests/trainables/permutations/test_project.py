"""The training function end to end, and the sentences for configurations that cannot run."""

import logging
import math
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

import raybayes as rb
from raybayes import catalog, data
from raybayes.cli.main import main
from raybayes.errors import SpecError
from trainables.permutations import PROJECT
from trainables.permutations.tasks.tsp import TourCost, load_instance

HERE = {"executor": "local"}
CAUSAL = {"task": "causal", "estimator": "reinforce"}
QUICK = {"runs": 2, "reports": 2, "evaluations": 256, "eval_samples": 16}


@pytest.mark.parametrize(
    "values",
    [
        {"estimator": "exact", "toy.n": 4},
        {"estimator": "straight_through"},
        {"estimator": "sinkhorn"},
        {"estimator": "gaussian", "samples": 4},
        {"estimator": "relax_centred", "samples": 2, "critic.centring": "loo", "critic.updates": 2, "critic.warmup": 3},
        {"estimator": "relax", "model": "matching", "critic.of": "black_box", "toy.n": 4},
        {"estimator": "e_reinforce_plus", "samples": 4, "lr_decay": "cosine", "precision": "float32"},
        {"task": "tsp", "tsp.instance": "burma14", "estimator": "rebar"},
        {"task": "tsp", "estimator": "rloo", "samples": 8, "entropy": 1.0, "init_scale": 1.0},
        {"task": "tsp", "estimator": "rloo", "samples": 8, "restarts": 4},
        {"task": "causal", "causal.d": 5, "estimator": "reinforce_ema"},
        {"task": "causal", "causal.d": 5, "estimator": "rloo", "samples": 4, "restarts": 3},
        {"task": "causal", "causal.d": 5, "causal.score": "bic", "estimator": "rloo", "samples": 4, "restarts": 3},
        {"task": "causal", "causal.d": 5, "causal.score": "joint", "estimator": "relax"},
        {"task": "causal", "causal.d": 6, "causal.score": "bdeu", "causal.graph": "sf", "estimator": "reinforce_best"},
        {"task": "causal", "causal.graph": "sachs", "causal.score": "bic", "critic.of": "black_box"},
        {"task": "ranking", "estimator": "rloo", "samples": 8, "evaluations": 32, "runs": 1},
        {"task": "ranking", "estimator": "rebar", "ranking.hidden": 4, "evaluations": 4, "runs": 1},
    ],
    ids=lambda values: "-".join(str(value) for value in values.values()),
)
def test_every_task_and_kind_of_estimator_runs(values, tmp_path):
    run = rb.train("permutations", {**QUICK, **values}, storage=str(tmp_path), name="run", **HERE)
    assert run.trials["state"].to_pylist() == ["COMPLETE"]
    last = run.reports.to_pylist()[-1]
    assert math.isfinite(last["cost"])
    assert last["best"] <= last["cost"] + 1e-6 or values.get("task") == "causal"
    assert {"random_search", "greedy_swaps", "annealing"} <= set(run.table("scores")["method"].to_pylist())
    curve = run.table("curves")
    runs = {**QUICK, **values}["runs"]
    assert len(curve) == len(run.reports) * runs


def test_the_controls_have_as_many_evaluations(tmp_path):
    values = {**QUICK, "estimator": "rloo", "samples": 4}
    run = rb.train("permutations", values, storage=str(tmp_path), name="r", **HERE)
    spent = run.reports["evaluations"].to_pylist()[-1]
    rows = [row for row in run.table("scores").to_pylist() if row["method"] != "trained"]
    assert spent == 256
    assert {row["evaluations"] for row in rows} == {256}


def test_a_broken_file_is_refused_before_anything_runs(tmp_path):
    path = tmp_path / "tiny.tsp"
    path.write_text("TYPE: TSP\nDIMENSION: 3\nEDGE_WEIGHT_TYPE: EUC_2D\nNODE_COORD_SECTION\n1 0 0\n2 3 4\nEOF\n")
    with pytest.raises(SpecError, match="has 2 rows; DIMENSION 3 requires 3 rows"):
        catalog.configure(PROJECT, {"task": "tsp", "tsp.instance": str(path)})


@pytest.mark.parametrize("command", [["train"], ["sweep", "--trials", "2"]])
def test_a_tour_that_the_data_set_does_not_have_is_refused_before_anything_is_written(command, tmp_path, capsys):
    options = ["-s", "task=tsp", "-s", "tsp.instance=notthere", "--storage", str(tmp_path / "runs"), "--name", "r"]
    assert main([command[0], "permutations", *command[1:], "--local", *options]) == 2
    said = capsys.readouterr().err
    assert said.count("tsp.instance = notthere is not in this data set; it has burma14") == 1
    assert not (tmp_path / "runs").exists()


def test_restarts_share_the_budget_and_the_best_of_them_counts(tmp_path):
    values = {"task": "tsp", "tsp.instance": "burma14", "estimator": "rloo", "samples": 8, "init_scale": 2.0, "runs": 2}
    values |= {"evaluations": 1600, "reports": 2, "restarts": 5, "entropy": 0.1}
    run = rb.train("permutations", values, storage=str(tmp_path), name="r", **HERE)
    first, last = run.reports["evaluations"].to_pylist()
    assert first <= 600  # a quarter is kept for the descent, and repeats are not counted
    assert last == 1600
    scores = run.table("scores").to_pylist()
    assert {row["evaluations"] for row in scores if row["method"] not in ("nearest_neighbour", "lkh")} == {1600}
    trained = [row["value"] for row in scores if (row["method"], row["metric"]) == ("trained", "cost")]
    orders = run.table("orders").to_pylist()
    assert trained == [row["best"] for row in orders]
    distance = load_instance("burma14", data.load("tsp-sample"), None).distance
    lengths = [float(TourCost(torch.tensor(distance))(torch.tensor([[row["order"]]]))) for row in orders]
    assert lengths == trained
    assert run.reports["gap_se"].to_pylist()[0] > 0


def test_a_run_reaches_the_optimum_of_a_small_toy(tmp_path):
    values = {"toy.n": 4, "toy.eps": 0.2, "estimator": "rloo", "samples": 8, "lr": 0.1, "evaluations": 8000, "runs": 4}
    run = rb.train("permutations", {**values, "reports": 2, "controls": False}, storage=str(tmp_path), name="r", **HERE)
    last = run.reports.to_pylist()[-1]
    # T_ii = 0.45, T_ij = 0.25 - 0.2/3: the identity costs 4 (0.55² + 3 · 0.18333²)
    assert last["cost"] == pytest.approx(4 * (0.55**2 + 3 * (0.25 - 0.2 / 3) ** 2), abs=0.02)


class Rank:
    """One of two workers in threads of this process."""

    def __init__(self, rank, shared):
        self.rank, self.world_size, self.device, self.shared = rank, 2, torch.device("cpu"), shared
        self.log, self.reports = logging.getLogger("raybayes.test"), []

    def rng(self, name):
        return torch.Generator().manual_seed(zlib.crc32(name.encode()))

    def gather(self, value):
        self.shared["slots"][self.rank] = value
        self.shared["barrier"].wait(60)
        values = list(self.shared["slots"])
        self.shared["barrier"].wait(60)
        return values

    def all_reduce(self, tensor):
        return torch.stack(self.gather(tensor.clone())).mean(0)

    def resume(self):
        return None

    def report(self, metrics, state=None):
        self.reports.append(dict(metrics))

    def save_table(self, name, table):
        """Not looked at here."""


def test_two_workers_halve_the_variance_and_agree(tmp_path):
    values = {"estimator": "rloo", "samples": 4, "evaluations": 16, "reports": 4, "eval_samples": 8000, "runs": 4}
    one = rb.train("permutations", {**values, "controls": False}, storage=str(tmp_path), name="one", **HERE)
    shared = {"slots": [None, None], "barrier": threading.Barrier(2)}
    ranks = [Rank(rank, shared) for rank in range(2)]
    config = catalog.configure(PROJECT, {**values, "controls": False})
    with ThreadPoolExecutor(2) as pool:
        for done in [pool.submit(PROJECT.train, config, rank) for rank in ranks]:
            done.result(60)
    assert ranks[0].reports == ranks[1].reports
    assert ranks[0].reports[-1]["evaluations"] == 2 * one.reports["evaluations"].to_pylist()[-1]
    two = [report["log_grad_var"] for report in ranks[0].reports]
    ratio = [math.exp(a - b) for a, b in zip(one.reports["log_grad_var"].to_pylist(), two, strict=True)]
    assert sum(ratio) / 4 == pytest.approx(2, rel=0.05)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"toy.n": 1}, "toy.n"),
        ({"estimator": "rloo"}, "needs samples >= 2; found 1"),
        ({"estimator": "relax_centred", "critic.centring": "loo"}, "centring = loo"),
        ({"scale_by_std": True}, "found samples = 1"),
        ({"critic.tau": 0.0}, "critic.tau"),
        ({"relaxation.tau": -1.0}, "relaxation.tau"),
        ({"samples": 128, "evaluations": 100}, "does not allow one update"),
        ({"critic.warmup": 60000}, "does not allow one update"),
        ({"model": "matching"}, "model = matching has no relaxation"),
        ({"model": "matching", "estimator": "exact"}, "is incompatible with model = matching"),
        ({"model": "matching", "task": "ranking", "estimator": "reinforce"}, "cannot use"),
        ({"estimator": "rebar", "critic.of": "black_box"}, "needs f's relaxation"),
        ({"critic.of": "black_box", "critic.width": 0}, "leaves no control variate"),
        ({"task": "causal", "estimator": "rebar"}, "causal.score = least_squares has no relaxation"),
        ({"entropy": 1.0, "samples": 2}, "needs an estimator with the score of the order"),
        ({"entropy": 1.0, "estimator": "reinforce"}, "needs samples >= 2; found 1"),
        ({"task": "ranking", "estimator": "reinforce", "restarts": 2}, "set restarts = 1"),
        ({"task": "causal", "causal.score": "joint", "restarts": 2}, "set restarts = 1"),
        ({"restarts": 100_000 // 2 + 1, "evaluations": 50_000}, "restarts"),
        ({"task": "ranking", "estimator": "sinkhorn"}, "which task = ranking does not have"),
        ({"dataset": "tsp"}, "does not fit task = toy"),
        ({"estimator": "exact", "toy.n": 10}, "at most 9 items"),
        ({"estimator": "exact", "task": "causal", "causal.d": 5, "causal.score": "joint"}, "needs a fixed cost"),
        ({**CAUSAL, "causal.score": "bdeu", "causal.d": 16}, "needs d <= 15; found 16"),
        ({**CAUSAL, "causal.edges": 5}, "that d = 10 allows"),
        ({**CAUSAL, "causal.rows": 10}, "otherwise the covariance is singular"),
        ({**CAUSAL, "causal.graph": "sachs", "causal.cells": "all"}, "dataset = sachs"),
        ({**CAUSAL, "causal.graph": "sachs", "causal.reference": "cdt18"}, "the cycle plcg -> pip2 -> pip3 -> plcg"),
        ({"task": "tsp", "tsp.instance": "nowhere.tsp"}, "nowhere.tsp: cannot be read"),
    ],
)
def test_impossible_configurations(values, message):
    with pytest.raises(SpecError, match=message):
        catalog.configure(PROJECT, values)


@pytest.mark.parametrize("space", ["SPACE", "LEAVE_ONE_OUT", "PAPER_TOY"])
def test_corners_of_the_spaces_are_possible(space):
    """Each alternative of each choice, the others at their first one that is possible with it."""
    table = catalog.load_space(PROJECT, space)
    for name in table:
        for value in table[name].grid() or (table[name].low, table[name].high):
            point = dict(table[name].when or {})
            point = {key: wanted[0] if isinstance(wanted, tuple) else wanted for key, wanted in point.items()}
            if space == "LEAVE_ONE_OUT" or {name: value} in ({"estimator": "rloo"}, {"estimator": "e_reinforce_plus"}):
                point = {"estimator": "rloo", "samples": 2, **point}
            catalog.configure(PROJECT, {**point, name: value})
