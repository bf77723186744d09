"""Two programs on one Ray of four CPUs share it by `--weight`, and one goes on when the other has ended."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import ray
from ray.cluster_utils import Cluster as LocalCluster

import raybayes as rb
from raybayes.engine.on_ray.ray_settings import TRIAL_SLOT

pytestmark = [pytest.mark.ray, pytest.mark.slow]  # tests/engine/on_ray/test_fair_share.py: the same on two CPUs

PROJECTS = Path(__file__).parent.parent / "projects"
LIMIT_S = 120  # for what must come at last


@pytest.fixture
def address():
    """A Ray of four CPUs, as declared; trials that sleep need no more of the machine."""
    ray.shutdown()  # of other tests
    head = {"num_cpus": 4, "resources": {TRIAL_SLOT: 4}, "object_store_memory": 100 * 2**20, "include_dashboard": False}
    cluster = LocalCluster(initialize_head=True, head_node_args=head)
    yield cluster.address
    cluster.shutdown()


class Program:
    """A `raybayes sweep` of its own process, with more trials than it will ever come to."""

    def __init__(self, address, folder, name, weight):
        self.folder = folder / name
        config = [part for item in ("steps=2", "sleep_s=0.1", "method=plain") for part in ("-s", item)]
        options = ["--sampler", "random", "--trials", "5000", "--weight", str(weight), *config]
        self._log = folder / f"{name}.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "raybayes", "sweep", "parabola", *options, "--storage", folder, "--name", name],
                cwd=PROJECTS,
                env={**os.environ, "PYTHONPATH": str(Path(rb.__file__).parent.parent), "RAY_ADDRESS": address},
                stdout=log,
                stderr=log,
            )

    def runs(self, since=0.0):
        """When the runs that ended after `since` began and ended (Unix epoch)."""
        if not (self.folder / "sweep.yaml").exists():
            return []
        rows = rb.open_sweep(str(self.folder)).profile().to_pylist()
        return [(row["ended"] - row["training"], row["ended"]) for row in rows if row["ended"] > since]

    def wait_for(self, slots, since=0.0):
        """Until so many runs were in training at the same time; the moment when that is known."""
        deadline = time.monotonic() + LIMIT_S
        while time.monotonic() < deadline:
            assert self._process.poll() is None, self._log.read_text()
            if at_once(self.runs(since)) >= slots:
                return time.time()
            time.sleep(0.5)
        raise AssertionError(f"{self.folder.name} never had {slots} slots\n{self._log.read_text()}")

    def interrupt(self):
        self._process.send_signal(signal.SIGINT)
        self._process.wait(LIMIT_S)

    def close(self):
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()


def at_once(runs):
    """The largest number of runs in training at the same time."""
    changes = sorted([(began, 1) for began, _ in runs] + [(ended, -1) for _, ended in runs])
    most = now = 0
    for _, change in changes:
        now += change
        most = max(most, now)
    return most


def test_two_programs_share_a_cluster_three_to_one(address, tmp_path):
    """The first made the actor that both speak to; it dies with the first, and the second goes on without."""
    first = Program(address, tmp_path, "first", weight=1)
    try:
        first.wait_for(4)  # alone it takes all
        second = Program(address, tmp_path, "second", weight=3)
        try:
            shared = second.wait_for(3)
            second.wait_for(3, since=shared)  # still so, of runs that ended later
            first.wait_for(1, since=shared)
            assert at_once(second.runs()) == 3, "the second had more than its share while the first had work"
            assert at_once(first.runs(since=shared)) == 1, "the first kept more than its share"
            first.interrupt()
            second.wait_for(4, since=time.time())
            second.interrupt()
        finally:
            second.close()
    finally:
        first.close()
