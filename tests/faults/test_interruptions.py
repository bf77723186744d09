"""A sweep is interrupted and goes on: nothing lost, nothing twice, nothing RUNNING at the end."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import psutil
import pytest
from bursts import open_burst, prepare_sweep

import raybayes as rb
from raybayes.engine.controller.controller import SweepController
from raybayes.engine.run import work_through
from raybayes.errors import OutOfTime, StoreError
from raybayes.spec.sweep_spec import Resources
from raybayes.store.filesystem import open_storage
from raybayes.store.layout import Layout
from raybayes.store.lock import BurstLock

PROJECTS = Path(__file__).parent.parent / "projects"


def command(*arguments, **environment):
    """A raybayes process of its own, in the folder of the tests' projects."""
    return subprocess.Popen(
        [sys.executable, "-m", "raybayes", *arguments],
        cwd=PROJECTS,
        env={**os.environ, "PYTHONPATH": str(Path(rb.__file__).parent.parent), **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for(path, lines, seconds=240):
    """Until a log file has so many lines."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if path.exists() and len(path.read_text().splitlines()) >= lines:
            return
        time.sleep(0.02)
    raise AssertionError(f"{path} never had {lines} lines")


def assert_whole(folder, trials, steps):
    """The three assertions, and no report lost or kept twice."""
    found = rb.open_sweep(str(folder))
    numbers = found.trials["trial"].to_pylist()
    assert numbers == list(range(trials)), "a trial was lost or run twice"
    assert set(found.trials["state"].to_pylist()) == {"COMPLETE"}, "a trial is RUNNING, or was not finished"
    keys = Counter((row["trial"], row["step"]) for row in found.reports.to_pylist())
    assert keys == {(trial, step): 1 for trial in range(trials) for step in range(1, steps + 1)}
    configs = found.trials.select([n for n in found.trials.column_names if n.startswith("config.")]).to_pylist()
    assert len({json.dumps(config, sort_keys=True) for config in configs}) == trials
    return found


def steps_run(log):
    """How often each (learning rate, step) was really computed."""
    return Counter((line.split()[3], int(line.split()[0])) for line in log.read_text().splitlines())


@pytest.mark.parametrize("killed_after", [1, 9, 22])
def test_in_process_kill_9_loses_nothing(tmp_path, killed_after):
    log = tmp_path / "log"
    arguments = [
        "sweep",
        "parabola",
        "--trials",
        "8",
        "--local",
        "--storage",
        str(tmp_path),
        "--name",
        "s",
        "--space",
        "SPACE",
    ]
    settings = ["-s", "steps=4", "-s", "sleep_s=0.02", "-s", f"log={log}"]
    process = command(*arguments, *settings)
    wait_for(log, killed_after)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    before = rb.open_sweep(str(tmp_path / "s")).trials["state"].to_pylist()
    assert before.count("COMPLETE") < 8
    finished = command("resume", str(tmp_path / "s"), "--local")
    _, errors = finished.communicate(timeout=120)
    assert finished.returncode == 0, errors
    assert_whole(tmp_path / "s", trials=8, steps=4)
    again = [key for key, count in steps_run(log).items() if count > 1]
    assert len({lr for lr, _ in again}) <= 1, "a finished trial was run again"


def kill_9(process):
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.mark.ray
@pytest.mark.parametrize(
    ("way", "trials"), [("--no-isolate", 48), pytest.param("--isolate", 8, marks=pytest.mark.slow)]
)
def test_on_ray_kill_9_at_two_moments_then_resume_and_extend(tmp_path, way, trials):
    """The benchmark of faults does it at ten. Workers outlive their driver by some seconds: so many trials."""
    log, rng, cuts = tmp_path / "log", random.Random(9), []
    place = ["parabola", "--trials", str(trials), way, "--storage", str(tmp_path), "--name", "s"]
    settings = ["-s", "steps=4", "-s", "sleep_s=0.1", "-s", f"log={log}", "-s", "method=plain"]
    for arguments in (["sweep", *place, *settings], ["resume", str(tmp_path / "s")]):
        process = command(*arguments)
        wait_for(log, (len(log.read_text().splitlines()) if cuts else 0) + rng.randint(3, 18))
        kill_9(process)
        cuts.append(len(log.read_text().splitlines()))
    finished = command("resume", str(tmp_path / "s"))
    output, errors = finished.communicate(timeout=200)
    assert finished.returncode == 0, errors
    assert f"{trials} complete" in output
    assert_whole(tmp_path / "s", trials=trials, steps=4)
    made = [line.split() for line in log.read_text().splitlines()]
    for cut in cuts:
        repeated = {line[3] for line in made[cut:]} & {line[3] for line in made[:cut]}
        assert len(repeated) <= 2, "more than the two trials that were running was run again"
    extended = command("extend", str(tmp_path / "s"), "--trials", "3", "--json", "--local", "--no-isolate")
    output, errors = extended.communicate(timeout=200)
    assert extended.returncode == 0, errors
    assert len(json.loads(output)["trials"]) == trials + 3
    assert_whole(tmp_path / "s", trials=trials + 3, steps=4)


@pytest.mark.ray
def test_on_ray_the_head_dies_and_the_sweep_goes_on_elsewhere(tmp_path):
    log = tmp_path / "log"
    process = command(
        "sweep", "parabola", "--trials", "6", "--storage", str(tmp_path), "--name", "s",
        "-s", "steps=20", "-s", "sleep_s=0.2", "-s", f"log={log}",
        RAY_gcs_rpc_server_reconnect_timeout_s="3",  # how long Ray waits for its head; a minute unless told otherwise
    )  # fmt: skip
    wait_for(log, 6)
    heads = [p for p in psutil.Process(process.pid).children(recursive=True) if p.name() == "gcs_server"]
    assert len(heads) == 1
    heads[0].kill()
    process.communicate(timeout=120)
    assert process.returncode != 0
    rb.resume(str(tmp_path / "s"), executor="local")
    assert_whole(tmp_path / "s", trials=6, steps=20)


@pytest.mark.ray
@pytest.mark.parametrize(
    ("number", "code", "way", "send"),
    [
        (signal.SIGINT, 130, "--no-isolate", os.kill),
        (signal.SIGUSR1, 75, "--isolate", os.kill),
        (signal.SIGTERM, 75, "--no-isolate", os.killpg),  # what `timeout` does, and Ray's processes must live on
    ],
)
def test_on_ray_one_signal_finishes_reports_and_checkpoints(tmp_path, number, code, way, send):
    log = tmp_path / "log"
    process = command(
        "sweep", "parabola", "--trials", "4", way, "--storage", str(tmp_path), "--name", "s",
        "-s", "steps=10", "-s", "sleep_s=0.2", "-s", f"log={log}", "-s", "method=plain",
    )  # fmt: skip
    wait_for(log, 6)
    send(process.pid, number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == code, errors
    assert "raybayes resume" in errors
    stopped = rb.open_sweep(str(tmp_path / "s"))
    states = stopped.trials["state"].to_pylist()
    assert "RUNNING" not in states
    assert states.count("PAUSED") == 2
    rb.resume(str(tmp_path / "s"), executor="local", isolate=False)
    assert_whole(tmp_path / "s", trials=4, steps=10)
    assert set(steps_run(log).values()) == {1}, "a step before the checkpoint was repeated"


def test_time_budget_ends_the_burst_cleanly(tmp_path):
    spec = {
        "storage": str(tmp_path),
        "name": "s",
        "config": {"steps": 50, "sleep_s": 0.02},
        "trials": 3,
        "executor": "local",
    }
    found = rb.sweep("parabola", time_budget=0.3, **spec)
    assert set(found.trials["state"].to_pylist()) <= {"PAUSED", "COMPLETE"}
    assert "PAUSED" in found.trials["state"].to_pylist()
    rb.resume(found.path, executor="local", time_budget=None)
    assert_whole(tmp_path / "s", trials=3, steps=50)


class UnfinishedController(SweepController):
    """Is interrupted when the first run has ended."""

    def finish(self, *arguments):
        raise KeyboardInterrupt


def test_a_trial_that_had_reported_all_before_the_kill_is_complete_without_a_further_report(tmp_path):
    controller = open_burst(prepare_sweep(tmp_path, trials=1, checkpoint_every=0.0), UnfinishedController)
    with pytest.raises(KeyboardInterrupt):
        work_through(controller, Resources(), lambda progress: None)
    controller.close()
    found = rb.resume(str(tmp_path / "s"), executor="local")
    assert found.trials["state"].to_pylist() == ["COMPLETE"]
    assert found.trials["attempts"].to_pylist() == [2]
    assert len(found.reports) == 4


def test_two_bursts_at_once_are_refused(tmp_path):
    rb.sweep("parabola", trials=1, storage=str(tmp_path), name="s", executor="local")

    def content():
        return {p: p.read_bytes() for p in sorted((tmp_path / "s").rglob("*")) if p.is_file()}

    lock = BurstLock(Layout(open_storage(str(tmp_path / "s"))))
    lock.acquire()
    before = content()
    try:
        process = command("extend", str(tmp_path / "s"), "--trials", "1", "--local")
        _, errors = process.communicate(timeout=60)
        assert process.returncode == 2
        assert f"{socket.gethostname()}, process {os.getpid()} " in " ".join(errors.split())
        assert f"stop it: kill {os.getpid()} (it stores everything first)" in " ".join(errors.split())
        assert content() == before, "a burst that is refused has changed the other's folder"
    finally:
        lock.release()
    with pytest.raises(StoreError, match="not a sweep"):
        rb.open_sweep(str(tmp_path / "nothing"))


def test_a_start_that_fails_keeps_no_lock(tmp_path):
    """As in a notebook, whose process lives on."""
    prepared = prepare_sweep(tmp_path, trials=2)
    (tmp_path / "s" / "reports").write_text("a file where a folder belongs")
    with pytest.raises(StoreError):
        open_burst(prepared)
    assert not (tmp_path / "s" / "burst.lock").exists()


def test_a_second_ctrl_c_and_a_closed_terminal(tmp_path):
    """Two SIGINT end the burst at once, with a sentence and without a lock; SIGHUP is as SIGTERM."""
    config = ["-s", "steps=100", "-s", "sleep_s=0.3", "-s", f"log={tmp_path / 'log'}"]
    arguments = ["sweep", "parabola", "--trials", "2", "--local", "--storage", str(tmp_path), *config]
    processes = [command(*arguments, "--name", name) for name in ("twice", "closed")]
    wait_for(tmp_path / "log", 4)
    processes[1].send_signal(signal.SIGHUP)
    processes[0].send_signal(signal.SIGINT)
    time.sleep(0.1)
    processes[0].send_signal(signal.SIGINT)
    twice, closed = (process.communicate(timeout=60)[1] for process in processes)
    assert (processes[0].returncode, processes[1].returncode) == (130, 75)
    assert "interrupted at once; everything reported so far is stored" in twice
    assert "out of time (SIGHUP)" in closed
    assert not list(tmp_path.glob("*/burst.lock"))


def test_signals_end_an_in_process_sweep_cleanly(tmp_path):
    seen = []

    def watch(progress):
        if len(progress.ended) == 2 and not seen:
            seen.append(progress)
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(OutOfTime, match="2 of 5 trials finished"):
        rb.sweep("parabola", trials=5, storage=str(tmp_path), name="s", executor="local", watch=watch)
    rb.resume(str(tmp_path / "s"), executor="local")
    assert_whole(tmp_path / "s", trials=5, steps=4)


def test_the_wall_time_ends_a_burst_with_a_code_of_its_own_and_the_same_command_goes_on(tmp_path):
    arguments = ["sweep", "parabola", "--trials", "2", "--local", "--storage", str(tmp_path), "--name", "s"]
    arguments += ["-s", "steps=100", "-s", "sleep_s=0.1"]
    first = command(*arguments, "--walltime", "10s")  # the import of torch is part of it
    _, errors = first.communicate(timeout=60)
    assert first.returncode == OutOfTime.exit_code == 75, errors
    assert "wall-clock limit reached" in errors
    assert "PAUSED" in rb.open_sweep(str(tmp_path / "s")).trials["state"].to_pylist()
    again = command(*arguments)
    _, errors = again.communicate(timeout=60)
    assert again.returncode == 0, errors
    assert_whole(tmp_path / "s", trials=2, steps=100)
