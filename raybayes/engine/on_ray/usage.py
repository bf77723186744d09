"""How much of the machines is in use: resources taken everywhere, load where Ray's agents measure it."""

from __future__ import annotations

import re
import time
import urllib.request
from collections.abc import Iterable, Mapping
from typing import Any

import psutil
import ray

TIMEOUT_S = 2.0
# Ray's own metrics, as each node's agent serves them (it needs ray[default]); values in percent, bytes.
_NAMES = {
    "ray_node_cpu_utilization": "cpu",
    "ray_node_gpus_utilization": "gpu",
    "ray_node_mem_used": "memory",
    "ray_node_mem_total": "memory_of",
}
_LINE = re.compile(r"^(\w+)(?:\{.*\})? ([-+0-9.eE]+|NaN)$", re.MULTILINE)


def measure_usage(private: bool) -> dict[str, Any]:
    """The document that `raybayes watch` shows.

    Args:
        private: whether Ray runs on this machine alone, whose load is then measured here.

    Returns:
        time (Unix epoch), nodes, taken and total of CPU and GPU, and `load`: means over nodes (cpu) and GPUs (gpu) in
        percent. What is not measured is left out.
    """
    total, free = ray.cluster_resources(), ray.available_resources()
    kinds = [kind for kind in ("CPU", "GPU") if total.get(kind)]
    alive = [node for node in ray.nodes() if node["Alive"]]
    return {
        "time": time.time(),
        "nodes": len(alive),
        "total": {kind: total[kind] for kind in kinds},
        "taken": {kind: total[kind] - free.get(kind, 0.0) for kind in kinds},
        "load": local_load() if private else mean_load(_pages(alive)),
    }


def local_load() -> dict[str, float]:
    """The load of this machine in percent: of its CPUs since the last call, its memory, and (with NVML) its GPUs."""
    load = {"cpu": psutil.cpu_percent(), "memory": psutil.virtual_memory().percent}
    try:
        import pynvml

        pynvml.nvmlInit()
    except Exception:  # the extra is not installed, or there is no driver
        return load
    cards = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
    if cards:
        load["gpu"] = sum(pynvml.nvmlDeviceGetUtilizationRates(card).gpu for card in cards) / len(cards)
    return load


def mean_load(pages: Iterable[str]) -> dict[str, float]:
    """Means over nodes and GPUs of the metrics that Ray's agents serve, in percent.

    Args:
        pages: in Prometheus' text format, one per node.
    """
    found: dict[str, list[float]] = {name: [] for name in _NAMES.values()}
    for page in pages:
        for name, value in _LINE.findall(page):
            if name in _NAMES:
                found[_NAMES[name]].append(float(value))
    load = {kind: sum(found[kind]) / len(found[kind]) for kind in ("cpu", "gpu") if found[kind]}
    if sum(found["memory_of"]):
        load["memory"] = 100 * sum(found["memory"]) / sum(found["memory_of"])
    return load


def _pages(nodes: Iterable[Mapping[str, Any]]) -> Iterable[str]:
    for node in nodes:
        address = f"http://{node['NodeManagerAddress']}:{node['MetricsExportPort']}/metrics"
        try:
            with urllib.request.urlopen(address, timeout=TIMEOUT_S) as answer:
                yield answer.read().decode()
        except OSError:  # there is no agent, or it is too busy to answer
            continue
