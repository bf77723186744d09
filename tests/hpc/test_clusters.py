"""Real Slurm, real ssh, real Ray on three hosts: the whole life of clusters, and nothing left behind."""

import platform
import re
import sys
import time
from importlib.metadata import version

import pytest
from bed import ROOT
from rack import USER

import raybayes as rb

pytestmark = [pytest.mark.hpc, pytest.mark.timeout(900)]


def sweep(rack, name):
    return rb.open_sweep(str(rack.folder / "work" / "runs" / name))


def until(condition, complaint, seconds=240):
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if value := condition():
            return value
        time.sleep(0.2)
    raise AssertionError(complaint)


def reports(rack, name):
    """Whether a sweep has reports on disk."""
    folder = rack.folder / "work" / "runs" / name / "reports"
    return any(path.stat().st_size for path in folder.glob("*"))


def test_two_users_with_clusters_on_the_same_hosts(rack, slurm, timing):
    """Up, a run across hosts, a sweep across hosts, `ray job submit`, one ended by down, one by scancel."""
    work = rack.folder / "work"
    one, two = slurm("one"), slurm("two", nodes=2, shared=f"{rack.folder}/{USER}")
    began = time.monotonic()
    up = rack.raybayes("cluster", "up", one, cwd=work, timeout=600).stdout
    timing("slurm: up to all nodes joined", time.monotonic() - began)
    try:
        assert "nodes      3 of 3: h0, h1, h2" in up
        assert "nodes      2 of 2" in rack.raybayes("cluster", "up", two, cwd=work, user=USER, timeout=600).stdout
        # They are on the same hosts; each sees only its own nodes, and neither knows the other's token.
        for file, nodes, user in ((one, 3, "root"), (two, 2, USER)):
            assert f"{nodes} of {nodes}" in rack.raybayes("cluster", "status", file, cwd=work, user=user).stdout
        assert len(rack.hosts_with(USER, "raylet") & rack.hosts_with("root", "raylet")) == 2
        tokens = [rack.folder / "shared" / "one" / "token", rack.folder / USER / "two" / "token"]
        assert tokens[0].read_text() != tokens[1].read_text()
        assert "Permission denied" in rack.run("cat", tokens[0], user=USER, code=1).stderr
        address = re.search(r"dashboard  (\S+)", up)[1]
        foreign = (
            "env",
            f"RAY_API_SERVER_ADDRESS={address}",
            "RAY_AUTH_MODE=token",
            f"RAY_AUTH_TOKEN_PATH={tokens[1]}",
        )
        said = rack.run(*foreign, sys.executable, "-m", "raybayes", "jobs", "list", code=3).stderr
        assert "does not accept the token" in said

        began = time.monotonic()
        following = rack.start(
            sys.executable, "-m", "raybayes", "submit", "--cluster", one, "--", "sweep", "parabola", "--trials", "6",
            "--name", "wide", "-s", "steps=25", "-s", "sleep_s=1", cwd=work,
        )  # fmt: skip
        until(lambda: reports(rack, "wide"), "no report")
        timing("slurm: submit to the first report", time.monotonic() - began)
        output = following.communicate(timeout=400)[0]
        assert following.returncode == 0, output
        assert sweep(rack, "wide").trials["state"].to_pylist() == ["COMPLETE"] * 6
        # A trial takes longer than a busy host needs to start its process, so no host can take all of them.
        assert len(set(sweep(rack, "wide").trials["node"].to_pylist())) >= 2, "the trials were on one host"

        # One CPU a node, so two workers are on two hosts; and the exit code of a job is that of its program.
        said = rack.raybayes(
            "submit", "--cluster", one, "--", "train", "parabola", "--workers", 2, "-s", "fail_at=3", "-s", "steps=3",
            "--name", "pair", cwd=work, code=1, timeout=500,
        ).stdout  # fmt: skip
        assert len(sweep(rack, "pair").reports) == 2
        assert "the training function failed" in said

        ray = [sys.executable, "-m", "ray.scripts.scripts", "job", "submit", "--working-dir", ".", "--"]
        plain = [*ray, "python", "-m", "raybayes", "train", "parabola", "--name", "plain", "--storage", f"{work}/runs"]
        own = ("env", f"RAY_API_SERVER_ADDRESS={address}", "RAY_AUTH_MODE=token", f"RAY_AUTH_TOKEN_PATH={tokens[0]}")
        rack.run(*own, *plain, cwd=work, timeout=400)
        assert sweep(rack, "plain").trials["state"].to_pylist() == ["COMPLETE"]
    finally:
        began = time.monotonic()
        down = rack.raybayes("cluster", "down", one, cwd=work, code=None)
        timing("slurm: down", time.monotonic() - began)
        rack.run("scancel", "--name=two", user=USER)
    assert "nothing is left" in down.stdout
    until(lambda: not rack.run("squeue", "-h").stdout, "the second cluster is still in the queue")
    until(lambda: not rack.remains(), f"left: {rack.remains()}", 40)


def test_a_submitted_sweep_survives_its_wall_time(rack, slurm, timing):
    """One job: the warning signal, checkpoints, back into the queue, the same sweep to its end."""
    work, file = rack.folder / "work", slurm("shot", nodes=2)
    began = time.monotonic()
    job = rack.raybayes(
        "submit", "--cluster", file, "--no-wait", "--", "sweep", "parabola", "--trials", 4, "--name", "long",
        "-s", "steps=60", "-s", "sleep_s=0.5", "-s", "method=plain", cwd=work,
    ).stdout.strip()  # fmt: skip
    until(lambda: reports(rack, "long"), "no report")
    timing("slurm, one job: submit to the first report", time.monotonic() - began)
    number = rack.run("squeue", "-h", "-o", "%i").stdout.strip()
    time.sleep(3)
    began = time.monotonic()
    rack.run("scancel", "--batch", "--signal=USR1", number)  # what --signal=B:USR1@... of the script does
    until(lambda: "PENDING" in rack.run("squeue", "-h", "-o", "%T").stdout, "the job did not come back into the queue")
    timing("slurm, one job: signal to requeued", time.monotonic() - began)
    states = sweep(rack, "long").trials["state"].to_pylist()
    assert "PAUSED" in states
    assert "RUNNING" not in states
    assert rack.remains() == {}
    # Slurm itself waits two minutes. Within the same second a node takes the new start for the one it has just killed.
    time.sleep(3)
    rack.run("scontrol", "update", f"JobId={number}", "StartTime=now")
    said = rack.raybayes("jobs", "logs", "--cluster", file, "--follow", job, cwd=work, timeout=600).stdout
    assert "start 2 of job" in said
    assert "out of time (SIGUSR1)" in said
    found = sweep(rack, "long")
    assert found.trials["state"].to_pylist() == ["COMPLETE"] * 4
    keys = [(row["trial"], row["step"]) for row in found.reports.to_pylist()]
    assert sorted(keys) == [(trial, step) for trial in range(4) for step in range(1, 61)], "a step was lost or repeated"
    until(lambda: not rack.remains(), f"left: {rack.remains()}", 40)


def test_hosts_with_ssh(rack, hosts, timing):
    """`ray up` on three hosts, a run on two of them, a crash of one supervisor, down, and nothing left."""
    work, file = rack.folder / "work", hosts("lab")
    began = time.monotonic()
    up = rack.raybayes("cluster", "up", file, cwd=work, timeout=600).stdout
    timing("hosts: up to all nodes joined", time.monotonic() - began)
    try:
        assert "nodes      3 of 3: h0, h1, h2" in up
        rack.raybayes(
            "submit",
            "--cluster",
            file,
            "--",
            "train",
            "parabola",
            "--workers",
            2,
            "--name",
            "two",
            cwd=work,
            timeout=500,
        )
        assert sweep(rack, "two").trials["state"].to_pylist() == ["COMPLETE"]
        # A job that is stopped writes its checkpoints first.
        job = rack.raybayes(
            "submit", "--cluster", file, "--no-wait", "--", "sweep", "parabola", "--name", "slow", "-s", "steps=2000",
            "-s", "sleep_s=0.2", cwd=work,
        ).stdout.strip()  # fmt: skip
        until(lambda: reports(rack, "slow"), "no report")
        rack.raybayes("jobs", "stop", "--cluster", file, job, cwd=work)
        said = rack.raybayes("jobs", "logs", "--cluster", file, "--follow", job, cwd=work, code=143).stdout
        assert "out of time (SIGTERM)" in said
        assert set(sweep(rack, "slow").trials["state"].to_pylist()) == {"PAUSED"}
        # The supervisor of a host is killed: its reaper ends Ray there, at once and completely.
        pid = rack.run("pgrep", "-f", "raybayes.launch.node --worker", host="h2").stdout.split()[0]
        mark = rack.run("sh", "-c", "ls -d /mnt/rb*", host="h2").stdout.strip()
        rack.run("kill", "-KILL", pid, host="h2")
        until(
            lambda: rack.run("sh", "-c", f"test -e {mark}", host="h2", code=None).returncode == 1,
            "the folder stays",
            60,
        )
    finally:
        down = rack.raybayes("cluster", "down", file, cwd=work, code=None)
    assert "nothing is left" in down.stdout, down.stdout
    assert rack.remains() == {}
    assert rack.run("ls", "-A", "/mnt/home", host="h0").stdout.count("ray_bootstrap") == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"key": "wrong"}, "with .*/wrong is refused"),
        ({"workers": ("10.77.0.11", "10.77.0.99")}, "10.77.0.99: does not answer over ssh"),
        ({"python": "/no/such/python"}, "10.77.0.10: /no/such/python -m raybayes.launch.node.probe.* failed"),
    ],
)
def test_hosts_that_cannot_be_used_are_named(rack, hosts, changes, words):
    said = rack.raybayes("cluster", "up", hosts("bad", **changes), cwd=rack.folder / "work", code=3).stderr
    assert re.search(words, said), said


def test_a_node_with_another_ray_is_named_with_both_versions(rack, slurm):
    """As if one host had an older environment at the same path."""
    work, other = rack.folder / "work", "/mnt/other"
    code = "import importlib.metadata as m\nown = m.version\nm.version = lambda n: '2.1.0' if n == 'ray' else own(n)\n"
    rack.run("sh", "-c", f'mkdir {other}; printf %s "$0" > {other}/sitecustomize.py', code, host="h1")
    try:
        file = slurm("mixed", setup=[f"export PYTHONPATH={other}:{ROOT}"])
        said = rack.raybayes("cluster", "up", file, cwd=work, code=3, timeout=600).stderr
    finally:
        rack.run("rm", "-r", other, host="h1")
    python = f"Python {platform.python_version()}"
    both = f"this node has {python} and Ray 2.1.0; the head h0 has {python} and Ray {version('ray')}."
    assert f"a node cannot join. h1: {both}" in said
    until(lambda: not rack.remains(), f"left: {rack.remains()}", 40)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"partition": "nope"}, "unknown partition 'nope'; valid partitions: debug, down"),
        ({"partition": "down", "pending_timeout_s": 3}, "Slurm's reason is 'PartitionDown'"),
        ({"cpus_per_task": 3}, "no node has 3 CPUs"),
    ],
)
def test_requests_that_slurm_cannot_meet(rack, slurm, changes, words):
    said = rack.raybayes("cluster", "up", slurm("bad", **changes), cwd=rack.folder / "work", code=3).stderr
    assert words in said
    assert rack.run("squeue", "-h").stdout == ""
