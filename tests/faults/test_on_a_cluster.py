"""Faults of trials, workers and machines, on a real Ray of two nodes: nothing lost, nothing twice, nothing RUNNING."""

import importlib
import threading
import time
from collections import Counter

import psutil
import pytest
import ray
from ray._private.ray_constants import PROCESS_TYPE_RAYLET
from ray.cluster_utils import Cluster as LocalCluster
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import raybayes as rb
from raybayes.engine.on_ray.ray_settings import TRIAL_SLOT
from raybayes.errors import StoreError

pytestmark = pytest.mark.ray
either_way = pytest.mark.parametrize("isolate", [False, True], ids=["warm", "isolated"])
# A process per trial makes these two or three times as long; what it does when it is lost, test_a_full_disk does too.
isolated_is_slow = pytest.mark.parametrize(
    "isolate", [False, pytest.param(True, marks=pytest.mark.slow)], ids=["warm", "isolated"]
)


@pytest.fixture(scope="module")
def machines():
    """A head with the driver's controller and one slot, and a function that adds a node with one slot."""
    ray.shutdown()  # of other tests
    cluster = LocalCluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "resources": {TRIAL_SLOT: 1}, "object_store_memory": 100 * 2**20,
                        "include_dashboard": False},
    )  # fmt: skip
    ray.init(address=cluster.address, namespace="raybayes", log_to_driver=False, logging_level="ERROR")
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


@isolated_is_slow
def test_a_trial_that_hangs_fails_and_the_others_go_on(machines, tmp_path, isolate):
    config = {"only_above": 0.2, "hang_at": 2, "steps": 3}
    sweep = rb.sweep("parabola", trials=4, config=config, name="s", report_timeout=6.0, storage=str(tmp_path), seed=1,
                     max_failed_fraction=1.0, retries=1, isolate=isolate)  # fmt: skip
    bad = [row["config.lr"] > 0.2 for row in sweep.trials.to_pylist()]
    assert 0 < sum(bad) < 4
    rows = assert_whole(sweep, 4, {"FAIL": sum(bad), "COMPLETE": 4 - sum(bad)})
    for row, is_bad in zip(rows, bad, strict=True):
        assert ("did not report for" in (row["failure"] or "")) == is_bad
        assert row["steps"] == (1 if is_bad else 3)


@isolated_is_slow
def test_a_trial_whose_worker_is_killed_each_time_fails_and_the_others_go_on(machines, tmp_path, isolate):
    """What the kernel does to a trial that takes all the memory."""
    config = {"only_above": 0.2, "die_at": 2, "steps": 3}
    sweep = rb.sweep("parabola", trials=4, config=config, name="s", storage=str(tmp_path), seed=1,
                     max_failed_fraction=1.0, retries=1, isolate=isolate)  # fmt: skip
    bad = [row["config.lr"] > 0.2 for row in sweep.trials.to_pylist()]
    assert 0 < sum(bad) < 4
    rows = assert_whole(sweep, 4, {"FAIL": sum(bad), "COMPLETE": 4 - sum(bad)})
    for row, is_bad in zip(rows, bad, strict=True):
        assert row["attempts"] == (2 if is_bad else 1)
        assert (row["failure"] or "").startswith("its worker was lost 2 times; the last time: ") == is_bad


@either_way
@pytest.mark.usefixtures("machines")
def test_a_full_disk_ends_the_burst_and_fails_no_trial(small_disk, isolate):
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(2 * 2**20 - 40 * 1024))
    with pytest.raises(StoreError, match="No space left on device"):
        rb.sweep("parabola", trials=20, storage=str(small_disk), name="s", checkpoint_every=0.0, isolate=isolate)
    ballast.unlink()
    found = rb.resume(str(small_disk / "s"), executor="local", isolate=False)
    assert_whole(found, 20, {"COMPLETE": 20})


@isolated_is_slow
def test_a_node_dies_with_its_trials(machines, tmp_path, isolate):
    node = machines.add_node(num_cpus=1, resources={TRIAL_SLOT: 1}, object_store_memory=100 * 2**20)
    there = NodeAffinitySchedulingStrategy(node.node_id, soft=False)
    ray.get(
        ray.remote(importlib.import_module).options(scheduling_strategy=there).remote("raybayes.engine.on_ray.tune")
    )
    log = tmp_path / "log"
    raylet = psutil.Process(node.all_processes[PROCESS_TYPE_RAYLET][0].process.pid)

    def kill():
        """Once a trial of that node has made 3 steps, and is not at its end."""
        while True:
            time.sleep(0.05)
            mine = {str(child.pid) for child in raylet.children(recursive=True)}
            lines = [line.split() for line in log.read_text().splitlines()] if log.exists() else []
            if (last := [line for line in lines if line[1] in mine][-1:]) and 3 <= int(last[0][0]) <= 6:
                machines.remove_node(node, allow_graceful=False)
                return

    killer = threading.Thread(target=kill, daemon=True)
    killer.start()
    config = {"steps": 8, "sleep_s": 0.3, "log": str(log)}
    sweep = rb.sweep("parabola", trials=6, config=config, storage=str(tmp_path), name="s", checkpoint_every=0.0,
                     isolate=isolate)  # fmt: skip
    assert not killer.is_alive(), "no trial ran on that node"
    rows = assert_whole(sweep, 6, {"COMPLETE": 6})
    assert max(row["attempts"] for row in rows) == 2
    steps = Counter((line.split()[3], line.split()[0]) for line in log.read_text().splitlines())
    assert sum(count - 1 for count in steps.values()) <= 1, "more was repeated than what followed the last checkpoint"
