"""Faults of trials, workers and machines, on a real Ray of two nodes: nothing lost, nothing twice, nothing RUNNING."""

import os
import signal
import threading
import time
from collections import Counter

import pytest
import ray
from ray.cluster_utils import Cluster as LocalCluster

import raybayes as rb
from raybayes.engine.cluster import TICKET

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def machines():
    """A head with the driver's desk and one slot, and a function that adds a node with one slot."""
    assert not ray.is_initialized()
    cluster = LocalCluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "resources": {TICKET: 1}, "object_store_memory": 100 * 2**20,
                        "include_dashboard": False},
    )  # fmt: skip
    cluster.connect(namespace="raybayes", log_to_driver=False, logging_level="ERROR")
    yield cluster
    ray.shutdown()
    cluster.shutdown()


def assert_whole(sweep, trials, states):
    rows = sweep.trials.to_pylist()
    assert [row["trial"] for row in rows] == list(range(trials)), "a trial was lost or run twice"
    assert Counter(row["state"] for row in rows) == states
    assert set(Counter((r["trial"], r["step"]) for r in sweep.reports.to_pylist()).values()) == {1}
    assert len({(row["config.lr"], row["config.method"]) for row in rows}) == trials
    return rows


def test_a_trial_that_hangs_eats_memory_or_raises_fails_and_the_others_go_on(machines, tmp_path):
    common = {"storage": str(tmp_path), "seed": 1, "trials": 4, "failed_limit": 1.0, "retries": 1}
    vices = {"hang_at": "did not report for", "eat_at": "MemoryError", "fail_at": "asked to fail at step 2"}
    for vice, words in vices.items():
        limit = 3.0 if vice == "hang_at" else None
        config = {"only_above": 0.2, vice: 2, "steps": 3}
        sweep = rb.sweep("parabola", config=config, name=vice, report_limit=limit, **common)
        bad = [row["config.lr"] > 0.2 for row in sweep.trials.to_pylist()]
        rows = assert_whole(sweep, 4, {"FAIL": sum(bad), "COMPLETE": 4 - sum(bad)})
        assert 0 < sum(bad) < 4
        for row, is_bad in zip(rows, bad, strict=True):
            assert (words in (row["error"] or "")) == is_bad
            assert row["steps"] == (1 if is_bad else 3)


def test_a_node_dies_with_its_trials(machines, tmp_path):
    node = machines.add_node(num_cpus=1, resources={TICKET: 1}, object_store_memory=100 * 2**20)
    log, path = tmp_path / "log", tmp_path / "s"

    def kill():
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and (not log.exists() or len(log.read_text().splitlines()) < 14):
            time.sleep(0.05)
        machines.remove_node(node, allow_graceful=False)

    killer = threading.Thread(target=kill)
    killer.start()
    config = {"steps": 8, "sleep_s": 0.2, "log": str(log)}
    sweep = rb.sweep("parabola", trials=5, config=config, storage=str(tmp_path), name="s", every_s=0.0)
    killer.join()
    rows = assert_whole(sweep, 5, {"COMPLETE": 5})
    assert max(row["attempts"] for row in rows) == 2
    steps = Counter((line.split()[3], line.split()[0]) for line in log.read_text().splitlines())
    assert sum(count - 1 for count in steps.values()) <= 1, "more was repeated than what followed the last checkpoint"
    assert path.exists()


def test_a_worker_of_a_nested_trial_is_killed(machines, tmp_path):
    machines.add_node(num_cpus=1, resources={TICKET: 1}, object_store_memory=100 * 2**20)
    machines.wait_for_nodes()
    config = {"steps": 3, "die_at": 2, "marker": str(tmp_path / "marker")}
    sweep = rb.sweep("parabola", trials=2, workers=2, config=config, storage=str(tmp_path), name="s", every_s=0.0)
    rows = assert_whole(sweep, 2, {"COMPLETE": 2})
    assert sorted(row["attempts"] for row in rows) == [1, 2]
    assert os.path.exists(config["marker"])
    assert signal.SIGKILL
