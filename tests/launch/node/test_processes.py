import os
import signal
import subprocess
import sys
import time

import psutil

from raybayes.launch.node import processes

SLEEP = "import time; time.sleep(60)"


def sleeper(*words, **environment):
    return subprocess.Popen([sys.executable, "-c", SLEEP, *words], env={**os.environ, **environment})


def test_only_the_node_is_ended(tmp_path):
    scratch = str(tmp_path / "mine")
    marked, inside = sleeper(**{processes.MARK_VARIABLE: "m1"}), sleeper(f"--temp-dir={scratch}/r")
    other_mark, other_folder = sleeper(**{processes.MARK_VARIABLE: "m2"}), sleeper(f"{scratch}2/r")
    code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SLEEP!r}])"
    parent = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, processes.MARK_VARIABLE: "m1"})
    try:
        time.sleep(0.5)
        child = psutil.Process(parent.pid).children()[0]
        assert processes.end_processes("m1", scratch, kill_after_s=2) == []
        assert [each.wait(5) for each in (marked, inside, parent)] == [-signal.SIGTERM] * 3
        assert not child.is_running() or child.status() == psutil.STATUS_ZOMBIE
        assert [each.poll() for each in (other_mark, other_folder)] == [None, None]
    finally:
        for each in (marked, inside, parent, other_mark, other_folder):
            each.kill()
            each.wait()


def test_one_that_ignores_sigterm_is_killed(tmp_path):
    code = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); {SLEEP}"
    deaf = subprocess.Popen(
        [sys.executable, "-c", code], env={**os.environ, processes.MARK_VARIABLE: "m3"}, stdout=subprocess.PIPE
    )
    deaf.stdout.readline()
    assert processes.end_processes("m3", str(tmp_path / "none"), kill_after_s=0.3) == []
    assert deaf.wait(5) == -signal.SIGKILL
    deaf.stdout.close()


def test_a_number_that_was_used_again_is_another_process():
    assert processes.is_alive(os.getpid(), processes.start_time(os.getpid()))
    assert not processes.is_alive(os.getpid(), processes.start_time(os.getpid()) - 100)
