"""One rack of three hosts for all tests of this folder; it goes, with all that runs in it, whatever happens."""

import json
import os
import shutil
import sys
import time
from pathlib import Path

import pytest
import yaml
from bed import ROOT, Rack
from rack import UID, USER


@pytest.fixture(scope="session")
def rack():
    made = Rack()
    try:
        (made.folder / USER).mkdir(mode=0o700)
        os.chown(made.folder / USER, UID, UID)
        shutil.copytree(ROOT / "tests" / "projects", made.folder / "work", ignore=shutil.ignore_patterns("__pycache__"))
        yield made
    finally:
        made.close()


@pytest.fixture
def slurm(rack):
    """Writes a Slurm file into the working folder; returns its name."""

    def write(name, **changes):
        settings = {
            "kind": "slurm", "name": name, "partition": "debug", "nodes": 3, "cpus_per_task": 1, "memory": "500M",
            "time": "00:30:00", "shared": f"{rack.folder}/shared", "scratch": "/mnt", "object_store_mb": 80,
            "python": sys.executable, "setup": [f"export PYTHONPATH={ROOT}"], "join_timeout_s": 400,
            "environment": {"RAY_memory_monitor_refresh_ms": "0"}, **changes,
        }  # fmt: skip
        (rack.folder / "work" / f"{name}.yaml").write_text(yaml.safe_dump(settings))
        return f"{name}.yaml"

    return write


@pytest.fixture
def hosts(rack):
    """Writes a `ray up` file into the working folder; returns its name."""

    def write(name, key="id", workers=("10.77.0.11", "10.77.0.12"), python=sys.executable):
        common = f"--detach --folder {rack.folder}/shared/{name} --scratch /mnt --cpus 1 --gpus 0 --object-store-mb 80"
        common += " --join-timeout-s 400"
        program = f"{python} -m raybayes.launch.node"
        head = f"--nodes {len(workers) + 1} --ip 10.77.0.10 --autoscaling-config ~/ray_bootstrap_config.yaml"
        settings = {
            "cluster_name": name,
            "provider": {"type": "local", "head_ip": "10.77.0.10", "worker_ips": list(workers)},
            "auth": {"ssh_user": "root", "ssh_private_key": f"{rack.folder}/{key}"},
            "min_workers": len(workers),
            "max_workers": len(workers),
            "idle_timeout_minutes": 100000,
            "head_start_ray_commands": [f"{program} --head {common} {head}"],
            "worker_start_ray_commands": [f"{program} --worker {common}"],
        }
        (rack.folder / "work" / f"{name}.yaml").write_text(yaml.safe_dump(settings))
        return f"{name}.yaml"

    return write


@pytest.fixture
def timing():
    """Notes a duration in the file that RAYBAYES_HPC_TIMES names, one JSON line each."""

    def note(what, seconds):
        if path := os.environ.get("RAYBAYES_HPC_TIMES"):
            line = {"what": what, "seconds": round(seconds, 1), "load": os.getloadavg()[0], "time": time.time()}
            with Path(path).open("a") as file:
                print(json.dumps(line), file=file)

    return note
