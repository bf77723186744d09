"""Ports, folders, processes, checks, packing, arguments: the small parts, each alone."""

import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path

import pytest

from raybayes.errors import ClusterError, SpecError
from raybayes.launch.cluster_paths import ClusterFolder, Head, read_json, write_json
from raybayes.launch.jobs import working_dir
from raybayes.launch.jobs.remote_command import for_cluster, name_of
from raybayes.launch.node import checks, processes
from raybayes.launch.node.network import own_address
from raybayes.launch.node.ports import SERVICES, Block, PortLease, candidates, size_for
from raybayes.launch.node.reaper import sweep_stale
from raybayes.launch.node.supervisor import refuse_other_versions, visible_gpus


class TestPorts:
    def test_no_two_services_and_no_worker_share_a_port(self):
        block = Block(20000, 100)
        ports = [block.first, *(block.service(name) for name in SERVICES)]
        assert len(set(ports)) == len(ports)
        assert max(ports) < block.workers[0] <= block.workers[1] < 20100

    def test_many_cores_get_many_ports(self):
        assert size_for(1) == 100
        assert size_for(128) >= 128 * 4

    def test_candidates_depend_on_the_key_alone_and_stay_in_the_range(self):
        first = candidates(20000, 30000, 100, "a")
        assert first == candidates(20000, 30000, 100, "a")
        assert first[0] != candidates(20000, 30000, 100, "b")[0]
        assert all(block.first >= 20000 and block.first + block.size - 1 <= 30000 for block in first)

    def test_two_clusters_with_one_key_get_different_blocks(self):
        a, b = PortLease(15000, 15999, 1, "same"), PortLease(15000, 15999, 1, "same")
        assert a.block != b.block
        a.release()
        b.release()

    def test_a_block_with_one_foreign_listener_is_passed_over(self):
        wanted = PortLease(16000, 16999, 1, "key")
        wanted.release()
        with socket.socket() as other:
            other.bind(("", wanted.block.first + 7))
            other.listen()
            claim = PortLease(16000, 16999, 1, "key")
            assert claim.block != wanted.block
            claim.release()

    def test_a_range_that_is_taken_or_too_small(self):
        holder = PortLease(17000, 17099, 1, "key")
        with pytest.raises(ClusterError, match=r"ports 17000 to 17099: .* all 1 blocks that were tried are in use"):
            PortLease(17000, 17099, 1, "key")
        holder.release()
        with pytest.raises(ClusterError, match="too small for one block"):
            PortLease(17000, 17050, 1, "key")


class TestFolder:
    def test_only_the_owner_may_look(self, tmp_path):
        folder = ClusterFolder(tmp_path / "c")
        folder.create()
        write_json(folder.head, vars(Head("c-1", "h0", "10.0.0.1", 1, 2, "3.11.7", "2.60.0")))
        assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
        assert {stat.S_IMODE(path.stat().st_mode) for path in (folder.token, folder.head)} == {0o600}
        assert len(folder.token.read_text()) == 64
        assert folder.read_head().dashboard == "http://10.0.0.1:2"

    def test_each_start_has_a_token_of_its_own(self, tmp_path):
        folder = ClusterFolder(tmp_path / "c")
        folder.create()
        before = folder.token.read_text()
        folder.create()
        assert folder.token.read_text() != before

    def test_forgetting_leaves_logs_alone(self, tmp_path):
        folder = ClusterFolder(tmp_path / "c")
        folder.create()
        write_json(folder.node(0, "h0"), {})
        folder.output.write_text("log")
        folder.forget()
        assert [path.name for path in folder.path.iterdir()] == ["logs"]
        assert folder.output.exists()

    def test_the_refusals_of_an_earlier_start_are_forgotten(self, tmp_path):
        folder = ClusterFolder(tmp_path / "c")
        folder.refuse("h1", "there is no folder yet, so nobody can be told")
        folder.create()
        folder.refuse("h1", "no room.")
        folder.refuse("h2", "no air.")
        assert folder.refusals() == ["h1: no room.", "h2: no air."]
        folder.clear()
        assert folder.refusals() == []

    def test_a_folder_that_cannot_be_made(self, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(ClusterError, match="cannot be made"):
            ClusterFolder(tmp_path / "file" / "c").create()

    def test_a_torn_file_is_said(self, tmp_path):
        (tmp_path / "x.json").write_text("{")
        with pytest.raises(ClusterError, match="cannot be read"):
            read_json(tmp_path / "x.json")
        assert read_json(tmp_path / "absent.json") is None


SLEEP = "import time; time.sleep(60)"


def sleeper(*words, **environment):
    return subprocess.Popen([sys.executable, "-c", SLEEP, *words], env={**os.environ, **environment})


class TestProcesses:
    def test_only_the_node_is_ended(self, tmp_path):
        scratch = str(tmp_path / "mine")
        marked, inside = sleeper(**{processes.MARK: "m1"}), sleeper(f"--temp-dir={scratch}/r")
        other_mark, other_folder = sleeper(**{processes.MARK: "m2"}), sleeper(f"{scratch}2/r")
        code = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {SLEEP!r}])"
        parent = subprocess.Popen([sys.executable, "-c", code], env={**os.environ, processes.MARK: "m1"})
        try:
            time.sleep(0.5)
            child = processes.psutil.Process(parent.pid).children()[0]
            assert processes.end("m1", scratch, grace_s=2) == []
            assert [each.wait(5) for each in (marked, inside, parent)] == [-signal.SIGTERM] * 3
            assert not child.is_running() or child.status() == processes.psutil.STATUS_ZOMBIE
            assert [each.poll() for each in (other_mark, other_folder)] == [None, None]
        finally:
            for each in (marked, inside, parent, other_mark, other_folder):
                each.kill()
                each.wait()

    def test_one_that_will_not_listen_is_killed(self, tmp_path):
        code = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('on', flush=True); {SLEEP}"
        deaf = subprocess.Popen(
            [sys.executable, "-c", code], env={**os.environ, processes.MARK: "m3"}, stdout=subprocess.PIPE
        )
        deaf.stdout.readline()
        assert processes.end("m3", str(tmp_path / "none"), grace_s=0.3) == []
        assert deaf.wait(5) == -signal.SIGKILL
        deaf.stdout.close()

    def test_a_number_that_was_used_again_is_another_process(self):
        assert processes.same(os.getpid(), processes.born(os.getpid()))
        assert not processes.same(os.getpid(), processes.born(os.getpid()) - 100)


SUPERVISOR = """
import os, subprocess, sys, time
from pathlib import Path
from raybayes.launch.node.reaper import hire
scratch, record = sys.argv[1], Path(sys.argv[2])
with hire("mark-j", scratch, record):
    record.touch()
    child = [sys.executable, "-c", "import time; time.sleep(60)"]
    subprocess.Popen(child, env={**os.environ, "RAYBAYES_NODE": "mark-j"})
    print("ready", flush=True)
    time.sleep(60)
"""


class TestJanitor:
    @pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
    def test_however_the_node_ends_nothing_is_left(self, tmp_path, number):
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
        assert processes.of_node("mark-j", str(scratch)) == []

    def test_a_signal_to_every_process_as_scancel_sends_it(self, tmp_path):
        scratch, record = tmp_path / f"rb{os.getuid()}-y", tmp_path / "node.json"
        scratch.mkdir()
        code = "import signal, sys; signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))" + SUPERVISOR
        node = subprocess.Popen(
            [sys.executable, "-c", code, scratch, record], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert node.stdout.readline() == "ready\n"
        time.sleep(1)
        for process in [
            *processes.psutil.Process(node.pid).children(recursive=True),
            processes.psutil.Process(node.pid),
        ]:
            process.terminate()
        node.wait(30)
        node.stdout.close()
        assert not scratch.exists()
        assert not record.exists()

    def test_folders_of_the_dead_are_swept_and_those_of_the_living_stay(self, tmp_path):
        dead, living, foreign = (tmp_path / f"rb{os.getuid()}-{name}" for name in ("dead", "living", "foreign"))
        for folder in (dead, living, foreign):
            folder.mkdir()
        write_json(dead / "owner.json", {"pid": os.getpid(), "born": 1.0, "mark": "gone"})
        write_json(living / "owner.json", {"pid": os.getpid(), "born": processes.born(os.getpid()), "mark": "here"})
        sweep_stale(str(tmp_path))
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted(f.name for f in (living, foreign))


class TestChecks:
    def test_the_longest_socket_of_ray_fits_exactly(self):
        longest = "/" + "x" * (checks.UNIX_PATH - checks.SESSION_AND_SOCKET - checks.SCRATCH_FOLDER - 1)
        assert checks.socket_paths(longest).level == "ok"
        found = checks.socket_paths(longest + "x")
        assert found.level == "error"
        assert "108 bytes, and Linux allows 107; name a folder that is 1 bytes shorter" in found.text
        path = f"{longest}/rb1234567-abcdefgh/r/session_2026-01-31_14-25-01_123456_1234567/sockets/dash_MetricsHead"
        with socket.socket(socket.AF_UNIX) as probe, pytest.raises(FileNotFoundError):
            probe.bind(path)
        with socket.socket(socket.AF_UNIX) as probe, pytest.raises(OSError, match="too long"):
            probe.bind(f"x{path}")

    def test_a_folder_that_is_not_writable(self, tmp_path):
        (tmp_path / "file").touch()
        assert checks.shared_folder(tmp_path / "a" / "b", "shared", several=False).level == "ok"
        found = checks.shared_folder(Path("/proc/none"), "shared", several=True)
        assert found.level == "error"
        assert "cannot be written here" in found.text

    def test_missing_programs(self):
        found = list(checks.commands("no-such-sbatch", why="be there."))
        assert found[0].text.startswith("no-such-sbatch is not on the PATH")

    def test_open_files(self, monkeypatch):
        for limit, level in ((512, "error"), (2048, "warning"), (65536, "ok")):
            monkeypatch.setattr(checks.resource, "getrlimit", lambda _, limit=limit: (limit, limit))
            assert checks.open_files().level == level

    def test_an_interface_that_is_not_there(self):
        assert own_address("lo", None) == "127.0.0.1"
        with pytest.raises(ClusterError, match=r"interface 'ib9' has no IPv4 address .*: there are|there are: .*lo"):
            own_address("ib9", None)


class TestGpus:
    @pytest.mark.parametrize(("told", "count"), [("0,1,2,3", 4), ("2", 1), ("", 0), ("-1", 0), ("NoDevFiles", 0)])
    def test_what_the_batch_system_gave_counts(self, monkeypatch, told, count):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", told)
        assert visible_gpus() == count


class TestPacking:
    def test_what_stays_at_home(self, tmp_path):
        for name in ("a.py", "runs/x.parquet", ".venv/bin/python", "b/__pycache__/c.pyc", "b/d.py", "big.npz"):
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / name).write_text("x")
        packed = working_dir.choose(tmp_path, ["*.npz"])
        assert [name for name, _ in packed.files] == ["a.py", "b/d.py"]
        packed.copy_to(tmp_path / "runs" / "copy")
        assert (tmp_path / "runs/copy/b/d.py").read_text() == "x"

    def test_git_decides_what_is_part_of_the_work(self, tmp_path):
        subprocess.run(["git", "init", "-q", tmp_path], check=True)
        (tmp_path / ".gitignore").write_text("secret\n")
        for name in ("secret", "new.py"):
            (tmp_path / name).write_text("x")
        assert [name for name, _ in working_dir.choose(tmp_path).files] == [".gitignore", "new.py"]

    def test_too_large_names_the_ten_largest(self, tmp_path):
        for i in range(12):
            (tmp_path / f"f{i:02d}").write_bytes(b"0" * (1000 + i) * 100)
        with pytest.raises(SpecError) as error:
            working_dir.choose(tmp_path, limit_mb=1)
        lines = str(error.value).splitlines()
        assert "has 1.2 MB in 12 files, and the limit is 1 MB" in lines[0]
        assert [line.split()[-1] for line in lines[1:11]] == [f"f{i:02d}" for i in range(11, 1, -1)]
        assert "--exclude" in lines[11]


class TestArguments:
    HERE = Path("/home/me/work")

    def made(self, text, storage=None):
        return for_cluster(text.split(), self.HERE, storage, "fixed")

    @pytest.mark.parametrize(
        ("given", "wanted"),
        [
            ("sweep flows --trials 5", "sweep flows --trials 5 --storage /home/me/work/runs --name fixed"),
            ("raybayes train flows --name a", "train flows --name a --storage /home/me/work/runs"),
            ("sweep flows --storage=out --name=a", "sweep flows --storage=/home/me/work/out --name=a"),
            ("train a --storage s3://b/x --data d", "train a --storage s3://b/x --data /home/me/work/d --name fixed"),
            ("resume runs/a", "resume /home/me/work/runs/a"),
            ("extend /x/a --trials 3", "extend /x/a --trials 3"),
        ],
    )  # fmt: skip
    def test_a_job_that_comes_back_finds_the_same_sweep(self, given, wanted):
        assert self.made(given) == wanted.split()
        assert self.made(wanted) == wanted.split()

    def test_the_cluster_may_say_where_results_go(self):
        assert self.made("sweep flows", "/nfs/runs")[2:] == ["--storage", "/nfs/runs", "--name", "fixed"]

    def test_a_spec_file_may_name_the_sweep(self, tmp_path):
        (tmp_path / "s.yaml").write_text("project: flows\nname: mine\nstorage: /nfs\n")
        words = ["sweep", "--spec", "s.yaml"]
        assert for_cluster(words, tmp_path, None, "fixed") == words

    def test_what_makes_no_sense_on_a_cluster(self):
        for text in ("", "show runs/a"):
            with pytest.raises(SpecError, match="write one of sweep, train, resume"):
                self.made(text)
        with pytest.raises(SpecError, match="--local runs without Ray"):
            self.made("sweep flows --local")

    def test_names(self):
        assert name_of(["sweep", "flows", "--name", "a"]) == "a"
        assert name_of(["resume", "/x/b"]) == "b"


@pytest.mark.parametrize(("python", "ray"), [("3.12.1", "2.60.0"), ("3.11.7", "2.59.0")])
def test_a_node_of_another_version_says_both(python, ray):
    head = Head("c-1", "h0", "10.0.0.1", 1, 2, "3.11.7", "2.60.0")
    refuse_other_versions(head, "3.11.7", "2.60.0")
    both = f"Python {python} and Ray {ray} are here, Python 3.11.7 and Ray 2.60.0 on the head h0"
    with pytest.raises(ClusterError, match=both):
        refuse_other_versions(head, python, ray)
