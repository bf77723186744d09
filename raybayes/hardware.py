"""Describes this machine for a report; reads the system's files and loads no library."""

from __future__ import annotations

import os
import platform
from collections import Counter
from pathlib import Path

GIB = 2.0**30  # bytes

_CPUS = Path("/proc/cpuinfo")
_GPUS = Path("/proc/driver/nvidia/gpus")
_GPU_DEVICES = ("nvidiactl", "kfd", "dxg")  # NVIDIA, AMD, Windows' subsystem for Linux


def describe_machine() -> dict[str, str | int]:
    """Host, CPU cores and their model, NVIDIA GPUs if there are any, operating system."""
    facts: dict[str, str | int] = {"host": platform.node(), "cpus": os.cpu_count() or 1}
    if model := _first(_CPUS, "model name"):
        facts["cpu"] = model
    names = [_first(card / "information", "Model") for card in sorted(_GPUS.glob("*"))]
    if found := Counter(name for name in names if name):
        facts["gpus"] = ", ".join(f"{count} x {name}" for name, count in found.items())
    return {**facts, "system": platform.platform()}


def _first(file: Path, key: str) -> str:
    """The value of the first line "key : value" of a file of such lines; "" if there is none."""
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError:  # another system than Linux, or no such driver
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.partition(":")[0].strip() == key), "")


def has_gpu_driver() -> bool:
    """Whether there may be GPUs: on Linux there is one only where its driver has made a device file."""
    return platform.system() != "Linux" or any(Path("/dev", name).exists() for name in _GPU_DEVICES)
