"""The batch program of a Slurm job against stand-ins for srun and raybayes: every way that a start ends."""

import json
import os
import signal
import sys
import threading

import pytest

from raybayes.launch.batch import BatchStart
from raybayes.launch.cluster_paths import ClusterFolder, read_json

# Joins as many nodes as JOINS says, then waits until the folder says stop.
SRUN = """
import json
folder = Path(os.environ["FOLDER"])
joined = int(os.environ.get("JOINS", os.environ["SLURM_NTASKS"]))
head = {"id": "i", "host": "h0", "ip": "10.0.0.1", "port": 1, "dashboard_port": 2, "python": "3.11.7", "ray": "2.60.0"}
(folder / "head.json").write_text(json.dumps(head))
hosts = [f"h{i}" for i in range(joined)]
if "REFUSED" in os.environ: (folder / "refused-h1").write_text(os.environ["REFUSED"])
(folder / "joined.json").write_text(json.dumps({"updated": 0, "hosts": hosts, "cpus": 1, "gpus": 0}))
while not (folder / "stop").exists(): time.sleep(0.02)
"""
SCONTROL = """
if "KILLS" in os.environ: os.kill(os.getpid(), 15)
sys.exit(int(os.environ.get("REFUSES", "0")))
"""
# A sweep that ends at once with the given code, or runs until USR1 or TERM, which it answers with 75.
DRIVER = """
import os, signal, sys, time
open(os.environ["FOLDER"] + "/drivers", "a").write(" ".join(sys.argv[1:]) + " " + os.environ["RAY_ADDRESS"] + "\\n")
if os.environ["DRIVER"] != "run": sys.exit(int(os.environ["DRIVER"]))
for number in (signal.SIGUSR1, signal.SIGTERM): signal.signal(number, lambda *_: sys.exit(75))
open(os.environ["FOLDER"] + "/driving", "w").close()
time.sleep(30)
"""


@pytest.fixture
def job(tmp_path, programs, monkeypatch):
    """A job's folder and its start: `job(DRIVER="0")` is the exit code."""
    folder = ClusterFolder(tmp_path / "job")
    folder.create()
    driver = tmp_path / "driver.py"
    driver.write_text(DRIVER)
    programs(srun=SRUN, scontrol=SCONTROL)
    before = {number: signal.getsignal(number) for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT)}

    def start(command="sweep p", requeues=5, timeout_s=20.0, **variables):
        given = {"FOLDER": folder.path, "SLURM_NTASKS": 2, "SLURM_JOB_ID": 7, "SLURM_CPUS_PER_TASK": 3, **variables}
        for name, value in given.items():
            monkeypatch.setenv(name, str(value))
        batch = BatchStart(folder, ["--slurm"], command.split(), [sys.executable, str(driver)])
        return batch.run(timeout_s, requeues)

    start.folder = folder
    yield start
    for number, handler in before.items():
        signal.signal(number, handler)


def later(folder, number, file):
    """Send this process a signal once a file is there."""

    def wait():
        while not (folder.path / file).exists():
            if stop.wait(0.02):
                return
        stop.wait(0.2)
        os.kill(os.getpid(), number)

    stop = threading.Event()
    threading.Thread(target=wait, daemon=True).start()


def requeued(programs):
    return "scontrol requeue 7" in programs.calls()


def test_a_sweep_that_is_complete_ends_the_job(job, programs):
    assert job(DRIVER=0) == 0
    assert read_json(job.folder.result) == {"exit_code": 0, "starts": 1}
    assert not requeued(programs)
    assert not job.folder.token.exists()
    assert not job.folder.head.exists()
    srun = programs.calls()[0]
    assert srun.startswith("srun --ntasks=2 --cpus-per-task=3 ")
    assert srun.endswith("-m raybayes.launch.node --slurm")
    assert (job.folder.path / "drivers").read_text() == "sweep p 10.0.0.1:1\n"


@pytest.mark.parametrize("code", [1, 2])
def test_failed_trials_and_wrong_input_are_final(job, programs, code):
    assert job(DRIVER=code) == code
    assert read_json(job.folder.result)["exit_code"] == code
    assert not requeued(programs)


def test_the_wall_time_signal_sends_the_sweep_back_into_the_queue(job, programs, capfd):
    later(job.folder, signal.SIGUSR1, "driving")
    assert job(DRIVER="run") == 0
    assert requeued(programs)
    assert job.folder.token.exists(), "the next start needs it"
    assert not job.folder.result.exists()
    assert "requeueing the job" in capfd.readouterr().out


def test_a_node_that_cannot_join_ends_the_job_at_once_with_its_reason(job, programs, capfd):
    assert job(JOINS=1, REFUSED="another Ray is here.", timeout_s=600.0) == 3
    assert "a node cannot join. h1: another Ray is here." in capfd.readouterr().out
    assert not requeued(programs)


def test_an_extension_is_asked_for_once(job):
    job(command="extend /x/a --trials 3", DRIVER=75)
    job(command="extend /x/a --trials 3", DRIVER=0, SLURM_RESTART_COUNT=1)
    drivers = (job.folder.path / "drivers").read_text().splitlines()
    assert drivers == ["extend /x/a --trials 3 10.0.0.1:1", "resume /x/a 10.0.0.1:1"]
    assert read_json(job.folder.result) == {"exit_code": 0, "starts": 2}


def test_stop_ends_the_sweep_cleanly_and_for_good(job, programs):
    later(job.folder, signal.SIGTERM, "driving")
    assert job(DRIVER="run") == 75
    assert not requeued(programs)
    assert read_json(job.folder.result)["exit_code"] == 75


def test_the_number_of_returns_is_limited(job, programs):
    assert job(DRIVER=75, requeues=2, SLURM_RESTART_COUNT=2) == 75
    assert not requeued(programs)


def test_a_refused_requeue_says_what_to_do(job, capfd):
    assert job(DRIVER=75, REFUSES=1) == 75
    assert "submit the same command again to resume" in capfd.readouterr().out


def test_a_requeue_that_kills_its_own_messenger_is_no_refusal(job):
    assert job(DRIVER=75, KILLS=1) == 0
    assert job.folder.token.exists()
    assert not job.folder.result.exists()


def test_a_lost_cluster_is_tried_again_three_times_at_most(job, programs):
    assert job(DRIVER=3) == 0
    assert requeued(programs)
    assert job(DRIVER=3, SLURM_RESTART_COUNT=1) == 0
    assert job(DRIVER=3, SLURM_RESTART_COUNT=2) == 3
    assert programs.calls().count("scontrol requeue 7") == 2


def test_a_part_of_the_nodes_is_not_enough(job, programs, capfd):
    assert job(DRIVER=0, JOINS=1, timeout_s=1.5) == 3
    assert "only 1 of 2 nodes joined within 1.5 s" in capfd.readouterr().out
    assert not requeued(programs)
    assert not (job.folder.path / "drivers").exists()


def test_a_cluster_without_a_command_stays_until_it_is_stopped(job, programs):
    later(job.folder, signal.SIGUSR1, "joined.json")
    assert job(command="", DRIVER=0) == 0
    assert not requeued(programs)


def test_a_signal_before_the_sweep_began_goes_back_into_the_queue(job, programs):
    later(job.folder, signal.SIGUSR1, "joined.json")
    assert job(DRIVER=0, JOINS=1) == 0
    assert requeued(programs)
    assert json.loads((job.folder.path / "losses.json").read_text()) == 0
