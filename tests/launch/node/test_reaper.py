import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from raybayes.launch.cluster_paths import write_json
from raybayes.launch.node import processes
from raybayes.launch.node.reaper import remove_dead_nodes

SUPERVISOR = """
import os, subprocess, sys, time
from pathlib import Path
from raybayes.launch.node.reaper import start_reaper
scratch, record = sys.argv[1], Path(sys.argv[2])
with start_reaper("mark-r", scratch, record):
    record.touch()
    child = [sys.executable, "-c", "import time; time.sleep(60)"]
    subprocess.Popen(child, env={**os.environ, "RAYBAYES_NODE": "mark-r"})
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_however_the_node_ends_nothing_is_left(tmp_path, number):
    scratch, record = tmp_path / f"rb{os.getuid()}-x", tmp_path / "node.json"
    scratch.mkdir()
    node = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, scratch, record], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
        text=True, preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # ignored below a shell's "&"
    )  # fmt: skip
    assert node.stdout.readline() == "ready\n"
    node.send_signal(number)
    node.wait(20)
    node.stdout.close()
    deadline = time.monotonic() + 20
    while scratch.exists() and time.monotonic() < deadline:
        time.sleep(0.1)
    assert not scratch.exists()
    assert not record.exists()
    assert processes.find_processes("mark-r", str(scratch)) == []


def test_a_signal_to_every_process_as_scancel_sends_it(tmp_path):
    scratch, record = tmp_path / f"rb{os.getuid()}-y", tmp_path / "node.json"
    scratch.mkdir()
    code = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))" + SUPERVISOR
    node = subprocess.Popen(
        [sys.executable, "-c", code, scratch, record], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
    )
    assert node.stdout.readline() == "ready\n"
    time.sleep(1)
    for process in [
        *psutil.Process(node.pid).children(recursive=True),
        psutil.Process(node.pid),
    ]:
        process.terminate()
    node.wait(30)
    node.stdout.close()
    assert not scratch.exists()
    assert not record.exists()


def test_folders_of_the_dead_are_removed_and_those_of_the_living_stay(tmp_path):
    dead, living, foreign = (tmp_path / f"rb{os.getuid()}-{name}" for name in ("dead", "living", "foreign"))
    for folder in (dead, living, foreign):
        folder.mkdir()
    write_json(dead / "owner.json", {"pid": os.getpid(), "born": 1.0, "mark": "gone"})
    write_json(living / "owner.json", {"pid": os.getpid(), "born": processes.start_time(os.getpid()), "mark": "here"})
    remove_dead_nodes(str(tmp_path))
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f.name for f in (living, foreign))
