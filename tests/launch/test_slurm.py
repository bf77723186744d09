"""The Slurm launcher and its one-shot jobs against pretended commands of Slurm."""

import json
import os
import re

import pytest

from raybayes.cli.main import main
from raybayes.errors import ClusterError
from raybayes.launch.cluster_paths import read_json
from raybayes.launch.launchers import slurm as module
from raybayes.launch.launchers.slurm import SlurmLauncher

SINFO = "print('cpu*|10|16|64000|(null)|1-00:00:00|up'); print('gpu|2|40|190000|gpu:v100:4(S:0-1)|infinite|up')"
# The queue answers with the lines of the file `queue`, one a look; the last one stays.
SQUEUE = """
lines = (here / "queue").read_text().splitlines()
print(lines[0]) if lines and lines[0] else None
if len(lines) > 1: (here / "queue").write_text("\\n".join(lines[1:]) + "\\n")
"""
JOIN = """
import json
folder = here / "shared" / "lab"
head = {"id": "i", "host": "h0", "ip": "10.0.0.1", "port": 1, "dashboard_port": 2, "python": "3.11.7", "ray": "2.60.0"}
(folder / "head.json").write_text(json.dumps(head))
hosts = [f"h{i}" for i in range(%d)]
(folder / "joined.json").write_text(json.dumps({"updated": 0, "hosts": hosts, "cpus": 12, "gpus": 0}))
"""


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    monkeypatch.setattr(module, "_POLL_S", 0.05)
    monkeypatch.setattr(module, "_CLEAN_END_S", 0.3)


@pytest.fixture
def queue(tmp_path, programs):
    """Pretended Slurm: `queue("PENDING|Resources|", "RUNNING||h[0-2]", joins=3)`."""

    def write(*lines, joins=3, sbatch="print('42;lab')"):
        (tmp_path / "queue").write_text("\n".join(lines) + "\n")
        programs(
            sinfo=SINFO, squeue=SQUEUE, scontrol="", sbatch=f"{JOIN % joins if joins else ''}\n{sbatch}",
            scancel="(here / 'queue').write_text('')",
        )  # fmt: skip

    return write


def test_up_says_what_it_waits_for_and_ends_when_all_have_joined(slurm, queue, programs):
    queue("PENDING|Resources|", "PENDING|Resources|", "PENDING|Priority|", "RUNNING|None|h[0-2]")
    said = []
    launcher = SlurmLauncher(slurm())
    status = launcher.up(said.append)
    assert status.state == "up"
    assert status.hosts == ("h0", "h1", "h2")
    assert said == [
        "job 42 submitted", "job 42 is pending (Resources)", "job 42 is pending (Priority)",
        "3 of 3 nodes have joined",
    ]  # fmt: skip
    assert launcher.folder.script.read_text() == launcher.render()
    assert read_json(launcher.folder.record)["job"] == "42"
    assert [call.split()[0] for call in programs.calls() if "sinfo" not in call][:1] == ["sbatch"]


def test_a_second_cluster_of_the_name_is_refused(slurm, queue):
    queue("RUNNING|None|h[0-2]")
    launcher = SlurmLauncher(slurm())
    launcher.up(print)
    with pytest.raises(ClusterError, match="lab is up already"):
        launcher.up(print)


def test_part_of_the_nodes_names_who_is_missing_and_cancels(slurm, queue, programs):
    queue("RUNNING|None|h[0-2]", joins=2)
    launcher = SlurmLauncher(slurm(join_timeout_s=0.5))
    with pytest.raises(ClusterError, match=r"only 2 of 3 nodes joined within 0.5 s \(h0, h1\)"):
        launcher.up(print)
    assert "scancel 42" in programs.calls()
    assert not launcher.folder.token.exists()


def test_pending_too_long_gives_slurms_reason_and_cancels(slurm, queue, programs):
    queue("PENDING|QOSMaxCpuPerUserLimit|")
    with pytest.raises(ClusterError, match="Slurm's reason is 'QOSMaxCpuPerUserLimit'"):
        SlurmLauncher(slurm(pending_timeout_s=0.2)).up(print)
    assert "scancel 42" in programs.calls()


def test_a_node_that_cannot_join_ends_the_wait(slurm, queue, programs):
    refused = "(here / 'shared' / 'lab' / 'refused-h1').write_text('another Ray is here.')"
    queue("RUNNING|None|h[0-2]", joins=2, sbatch=f"{refused}; print(42)")
    with pytest.raises(ClusterError, match=r"a node cannot join\. h1: another Ray is here\."):
        SlurmLauncher(slurm(join_timeout_s=600)).up(print)
    assert "scancel 42" in programs.calls()


def test_a_job_that_ends_at_once_shows_its_last_words(slurm, queue):
    queue("RUNNING|None|h[0-2]", "", joins=0)
    launcher = SlurmLauncher(slurm())
    launcher.folder.create()
    launcher.folder.output.write_text("module: not found\n")
    with pytest.raises(ClusterError, match="ended before the nodes had joined; its last words: module: not found"):
        launcher.up(print)


def test_slurms_own_words_when_it_refuses(slurm, queue):
    queue("", joins=0, sbatch="sys.exit('sbatch: error: Invalid account or account/partition combination')")
    with pytest.raises(ClusterError, match="Invalid account"):
        SlurmLauncher(slurm()).up(print)


def test_down_ends_its_own_job_by_its_id(slurm, queue, programs):
    queue("RUNNING|None|h[0-2]")
    launcher = SlurmLauncher(slurm())
    launcher.up(print)
    queue("RUNNING|None|h[0-2]", "RUNNING|None|h[0-2]", "")
    assert launcher.down(print) == []
    assert launcher.status().state == "down"
    assert not [call for call in programs.calls() if call.startswith("scancel") and call != "scancel 42"]
    assert not launcher.folder.token.exists()
    assert launcher.down(print) == []


def test_a_node_that_did_not_clean_up_is_reported(slurm, queue, monkeypatch):
    queue("RUNNING|None|h[0-2]")
    launcher = SlurmLauncher(slurm())
    launcher.up(print)
    launcher.folder.node(1, "h1").write_text(json.dumps({"host": "h1", "scratch": "/tmp/rb0-x"}))
    queue("")
    waited = module.wait_for_records
    monkeypatch.setattr(module, "wait_for_records", lambda folder: waited(folder, 0.1))
    assert launcher.down(print) == ["h1: /tmp/rb0-x"]


class TestCheck:
    def levels(self, spec):
        return [finding.text for finding in SlurmLauncher(spec).check() if finding.level == "error"]

    def test_slurm_absent(self, slurm, tmp_path, monkeypatch):
        monkeypatch.setenv("PATH", str(tmp_path))
        errors = self.levels(slurm())
        assert errors[0].startswith("sbatch is not on the PATH")
        assert "login node" in errors[0]

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"partition": "cup"}, "partition 'cup' is unknown; there are: cpu, gpu"),
            ({"nodes": 11}, "it has 10 nodes, and 11 are asked for"),
            ({"cpus_per_task": 17}, "no node has 17 CPUs"),
            ({"memory": "65G"}, "no node has 65G of memory"),
            ({"gpus_per_node": 1}, "no node has 1 GPUs"),
            ({"partition": "gpu", "nodes": 2, "gpus_per_node": 5}, "no node has 5 GPUs"),
            ({"partition": "gpu", "nodes": 2, "gpus_per_node": 1, "gpu_type": "a100"}, "1 GPUs of type a100"),
            ({"time": "2-00:00:00"}, "the time 2-00:00:00 is above its limit of 1-00:00:00"),
            ({"scratch": "/local/scratch/users/somebody/with/a/long/name"}, "Linux allows 107"),
            ({"ports": "[20000, 20050]"}, "ports 20000 to 20050: a node with 4 CPUs needs 100 in a row"),
        ],
    )
    def test_requests_that_can_never_be_met(self, slurm, queue, changes, words):
        queue("")
        errors = self.levels(slurm(**changes))
        assert len(errors) == 1
        assert words in errors[0]

    def test_what_fits(self, slurm, queue):
        queue("")
        assert self.levels(slurm()) == []
        assert self.levels(slurm(partition="gpu", nodes=2, gpus_per_node=4, gpu_type="v100", time="9-00")) == []


class TestOneShot:
    """`raybayes submit` into the queue."""

    def submit(self, file, *more):
        return main(["submit", "--cluster", file, *more, "--", "train", "parabola", "--name", "a"])

    def test_one_job_is_submitted_and_its_id_printed(self, slurm_file, queue, programs, tmp_path, capsys, monkeypatch):
        monkeypatch.chdir(tmp_path)
        queue("", joins=0)
        assert self.submit(slurm_file(), "--no-wait") == 0
        job = capsys.readouterr().out.strip()
        assert re.fullmatch(r"a-\d{4}-\d{6}", job)
        script = (tmp_path / "shared" / "jobs" / job / "job.sbatch").read_text()
        assert script.rstrip().endswith(f"-- train parabola --name a --storage {tmp_path}/runs")
        assert f"#SBATCH --chdir={tmp_path}" in script

    def test_followed_to_its_end_with_its_exit_code(self, slurm_file, queue, tmp_path, capsys, monkeypatch):
        monkeypatch.chdir(tmp_path)
        body = """
folder = Path(sys.argv[-1]).parent
(folder / "logs" / "job.log").write_text("12:00:00 a: starting\\n")
(folder / "result.json").write_text('{"exit_code": 1, "starts": 3}')
print(42)"""
        queue("PENDING|BeginTime|", "RUNNING|None|h0", "", joins=0, sbatch=body)
        assert self.submit(slurm_file()) == 1
        output = capsys.readouterr().out
        assert "12:00:00 a: starting" in output
        assert "job 42 is pending (BeginTime)" in output
        queue("")
        assert main(["jobs", "list", "--cluster", slurm_file(), "--json"]) == 0
        [line] = json.loads(capsys.readouterr().out)
        assert (line["state"], line["exit_code"], line["where"]) == ("FAILED", 1, "Slurm job 42")
        assert main(["jobs", "logs", "--cluster", slurm_file(), line["id"]]) == 0
        assert capsys.readouterr().out == "12:00:00 a: starting\n"

    def test_cancelled_behind_our_back(self, slurm_file, queue, tmp_path, capsys, monkeypatch):
        monkeypatch.chdir(tmp_path)
        queue("CANCELLED|None|", joins=0)
        assert self.submit(slurm_file()) == 3
        assert "has ended: cancelled, without a result" in capsys.readouterr().err

    def test_ctrl_c_detaches(self, slurm_file, queue, programs, tmp_path, capsys, monkeypatch):
        monkeypatch.chdir(tmp_path)
        queue("RUNNING|None|h0", joins=0)
        from raybayes.launch.jobs.slurm_job import SlurmJobs

        def interrupted(*_):
            raise KeyboardInterrupt

        monkeypatch.setattr(SlurmJobs, "follow", interrupted)
        assert self.submit(slurm_file()) == 130
        assert "the job goes on" in capsys.readouterr().err
        assert not [call for call in programs.calls() if call.startswith("scancel")]

    def test_stop_asks_the_batch_program_alone(self, slurm_file, queue, programs, tmp_path, capsys, monkeypatch):
        monkeypatch.chdir(tmp_path)
        queue("", joins=0)
        self.submit(slurm_file(), "--no-wait")
        job = capsys.readouterr().out.strip()
        queue("RUNNING|None|h0", joins=0)
        assert main(["jobs", "stop", "--cluster", slurm_file(), job]) == 0
        assert "scancel --batch --signal=TERM 42" in programs.calls()

    def test_a_wrong_sweep_never_reaches_the_queue(self, slurm_file, queue, programs, capsys):
        queue("", joins=0)
        arguments = ["submit", "--cluster", slurm_file(), "--", "sweep", "ensembles", "--trials", "0"]
        assert main(arguments) == 2
        assert "trials: found 0" in capsys.readouterr().err
        assert not [call for call in programs.calls() if call.startswith("sbatch")]

    def test_without_a_cluster(self, capsys, monkeypatch):
        monkeypatch.delenv("RAY_API_SERVER_ADDRESS", raising=False)
        assert main(["submit", "--", "resume", "runs/a"]) == 3
        assert "give --cluster FILE, or set RAY_API_SERVER_ADDRESS" in capsys.readouterr().err


def test_the_environment_of_another_cluster_is_not_handed_to_the_job(slurm, queue, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "10.9.9.9:1")
    queue("RUNNING|None|h[0-2]", sbatch="(here / 'address').write_text(os.environ.get('RAY_ADDRESS', '-')); print(42)")
    SlurmLauncher(slurm()).up(print)
    assert "RAY_ADDRESS" not in os.environ
