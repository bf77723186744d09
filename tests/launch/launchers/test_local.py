"""The whole life of a cluster on this machine, with a real Ray: started once, for all that needs one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
import yaml

import raybayes as rb
from raybayes.errors import ClusterError
from raybayes.launch.config.cluster_spec import read_cluster
from raybayes.launch.jobs.submission import connect_ray_jobs
from raybayes.launch.node.processes import is_alive
from raybayes.launch.registry import launcher_for

ROOT = Path(rb.__file__).parent.parent
PROJECTS = ROOT / "tests" / "projects"


def raybayes(*arguments, code=0, **environment):
    """The program, where the projects of the tests are."""
    foreign = ("RAY_ADDRESS", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH")
    variables = {name: value for name, value in os.environ.items() if name not in foreign}
    variables |= {"PYTHONPATH": str(ROOT), **environment}
    command = [sys.executable, "-m", "raybayes", *map(str, arguments)]
    ran = subprocess.run(command, capture_output=True, text=True, cwd=PROJECTS, env=variables, timeout=200, check=False)
    assert ran.returncode == code, ran.stdout + ran.stderr
    return ran


@pytest.mark.ray
@pytest.mark.timeout(420)
def test_up_submit_down_and_nothing_left(tmp_path):
    file, scratch = tmp_path / "here.yaml", tmp_path / "s"
    scratch.mkdir()
    short = Path("/tmp") / f"rbtest-{os.getpid()}"
    short.symlink_to(scratch)  # pytest's own folders are longer than Ray's sockets allow
    settings = {"kind": "local", "name": "here", "shared": str(tmp_path / "shared"), "scratch": str(short)}
    settings |= {"cpus": 2, "gpus": 0, "object_store_mb": 80, "results": str(tmp_path / "runs")}
    file.write_text(yaml.safe_dump(settings))
    at = ("--cluster", file)
    try:
        up = json.loads(raybayes("cluster", "up", file, "--json").stdout)
        assert (up["state"], up["cpus"], up["wanted"]) == ("up", 2.0, 1)
        assert "is already up" in raybayes("cluster", "up", file, code=3).stderr
        folder = launcher_for(read_cluster(str(file)), str(file)).folder
        [record] = folder.read_nodes()
        assert is_alive(record.pid, record.born)
        assert Path(record.scratch).stat().st_mode & 0o077 == 0, "others can read Ray's sockets and logs"

        said = raybayes("submit", *at, "--", "sweep", "parabola", "--trials", 3, "--name", "a", "-s", "steps=2").stdout
        assert "3 complete" in said
        assert rb.open_sweep(str(tmp_path / "runs" / "a")).trials["state"].to_pylist() == ["COMPLETE"] * 3
        head = f"http://{up['head']['ip']}:{up['head']['dashboard_port']}"
        wrong = tmp_path / "wrong"
        wrong.write_text("0" * 64)
        other = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(wrong), "RAY_API_SERVER_ADDRESS": head}
        answer = raybayes("jobs", "list", code=3, **other)
        assert "does not accept the token" in answer.stderr
    finally:
        raybayes("cluster", "down", file)
        short.unlink()
    assert list(scratch.iterdir()) == []
    assert not is_alive(record.pid, record.born)
    assert not [
        p for p in psutil.process_iter(["cmdline"]) if any(str(short) in word for word in p.info["cmdline"] or [])
    ]
    assert raybayes("cluster", "status", file, code=3).stdout.startswith("down")
    with pytest.raises(ClusterError, match="is down; start it with: raybayes cluster up"):
        connect_ray_jobs(str(file))
