"""A cluster of two nodes in this process, one of which dies with its trial."""

from __future__ import annotations

import importlib
import random
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import ray
from ray._private.ray_constants import PROCESS_TYPE_RAYLET
from ray.cluster_utils import Cluster
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

import raybayes as rb
from benchmarks.faults.sweeps import ROOT, TRIALS, Cut, Damage, look, now, trained
from raybayes import catalog
from raybayes.engine.on_ray.ray_settings import TRIAL_SLOT

STEPS, SLEEP_S = 8, 0.3
SLOT: dict[str, Any] = {"num_cpus": 1, "resources": {TRIAL_SLOT: 1}, "object_store_memory": 100 * 2**20}


def a_node(folder: Path, rng: random.Random) -> Damage:
    """SIGKILL for the processes of the node that does not have the driver, while a trial is in training there."""
    catalog.add_root(str(ROOT / "tests" / "projects"))
    cluster = Cluster(initialize_head=True, head_node_args={**SLOT, "include_dashboard": False})
    ray.init(address=cluster.address, namespace="raybayes", log_to_driver=False, logging_level="ERROR")
    try:
        node = cluster.add_node(**SLOT)
        there = NodeAffinitySchedulingStrategy(node.node_id, soft=False)
        ray.get(
            ray.remote(importlib.import_module).options(scheduling_strategy=there).remote("raybayes.engine.on_ray.tune")
        )
        found: list[tuple[Cut, float]] = []
        killer = threading.Thread(target=lambda: found.append(_kill(cluster, node, folder, rng.randint(1, 5))))
        killer.start()
        config = {"steps": STEPS, "sleep_s": SLEEP_S, "log": str(folder / "log")}
        rb.sweep("parabola", trials=TRIALS, config=config, storage=str(folder), name="s", checkpoint_every=0.0)
        killer.join(60)
        (cut, recovery_s), *_ = found
        return look(folder, [cut], recovery_s)
    finally:
        ray.shutdown()
        cluster.shutdown()


def _kill(cluster: Cluster, node: Any, folder: Path, step: int) -> tuple[Cut, float]:
    """Once a trial on the node has made that step; then what there was, and the time until its next step elsewhere."""
    raylet = psutil.Process(node.all_processes[PROCESS_TYPE_RAYLET][0].process.pid)
    while True:
        time.sleep(0.02)
        mine = {str(child.pid) for child in raylet.children(recursive=True)}
        last = [line for line in trained(folder) if line[1] in mine][-1:]
        if last and step <= int(last[0][0]) < STEPS - 1:
            break
    began, rate = time.monotonic(), last[0][3]
    cluster.remove_node(node, allow_graceful=False)
    cut = now(folder)
    # A process may outlive its node for a moment; what it still does is not written down.
    while not any(line[3] == rate and line[1] not in mine for line in trained(folder)[cut.made :]):
        time.sleep(0.02)
    return cut, time.monotonic() - began
