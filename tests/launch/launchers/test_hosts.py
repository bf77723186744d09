"""The launcher of hosts with ssh, against stand-ins for ssh and `ray up`."""

import json
import platform
import sys
from importlib.metadata import version

import pytest

from raybayes.errors import ClusterError
from raybayes.launch.cluster_paths import Head, write_json
from raybayes.launch.config.cluster_spec import read_cluster
from raybayes.launch.launchers.hosts import HostsLauncher

SAYS = {"host": "h", "python": platform.python_version(), "ray": version("ray"), "findings": []}
SSH = """
host = sys.argv[-2].partition("@")[2]
answers = %r
code, out, err = answers.get(host, answers["*"])
print(out); print(err, file=sys.stderr); sys.exit(code)
"""
RAY_UP = """
import json, os
from pathlib import Path
folder = Path(%r)
(folder / "variables").write_text(os.environ["RAY_UP_enable_autoscaler_v2"])
(folder / "head.json").write_text(json.dumps({"id": "i", "host": "h0", "ip": "10.0.0.1", "port": 1, "dashboard_port": 2, "python": "3.11.7", "ray": "2.60.0"}))
hosts = [f"h{i}" for i in range(%d)]
import time
(folder / "joined.json").write_text(json.dumps({"updated": time.time(), "hosts": hosts, "cpus": 3, "gpus": 0}))
raise SystemExit(%d)
"""  # noqa: E501


@pytest.fixture
def launcher(tmp_path, programs, hosts_text):
    """A launcher whose hosts answer like this: `launcher({"10.0.0.11": (255, "", "Connection refused")})`."""

    def make(answers=None, wait_s=60):
        good = (0, json.dumps({**SAYS, "left": []}), "")
        programs(ssh=SSH % {"*": good, **(answers or {})}, rsync="")
        path = tmp_path / "hosts.yaml"
        text = hosts_text.replace("/home/me/.raybayes/lab", str(tmp_path / "lab"))
        path.write_text(text.replace("--nodes 3", f"--nodes 3 --join-timeout-s {wait_s}"))
        return HostsLauncher(read_cluster(str(path)), str(path))

    return make


@pytest.fixture
def ray_up(monkeypatch, tmp_path):
    def make(joins=3, code=0):
        command = [sys.executable, "-c", RAY_UP % (str(tmp_path / "lab"), joins, code)]
        monkeypatch.setattr(HostsLauncher, "_command", lambda self: command)

    return make


def errors(launcher):
    return [finding.text for finding in launcher.check() if finding.level == "error"]


def test_every_host_is_asked(launcher):
    found = [finding.text for finding in launcher().check()]
    for host in ("10.0.0.10", "10.0.0.11", "10.0.0.12"):
        assert f"{host} (h): Python {SAYS['python']}, Ray {SAYS['ray']}" in found


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        ((255, "", "ssh: connect to host 10.0.0.11 port 22: Connection refused"), "does not answer over ssh"),
        ((255, "", "me@10.0.0.11: Permission denied (publickey)."), "ssh as me with ~/.ssh/id_ed25519 is refused"),
        ((255, "", "Host key verification failed."), "ssh-keygen -R 10.0.0.11"),
        ((127, "", "bash: /home/me/raybayes/.venv/bin/python: No such file"), "failed: bash: /home/me/raybayes"),
        ((0, json.dumps({**SAYS, "python": "3.9.1"}), ""), f"python is 3.9.1 there and {SAYS['python']} here"),
        ((0, json.dumps({**SAYS, "ray": "2.9.0"}), ""), f"ray is 2.9.0 there and {SAYS['ray']} here"),
        (
            (0, json.dumps({**SAYS, "findings": [{"level": "error", "text": "/x is not shared"}]}), ""),
            "10.0.0.11: /x is not shared",
        ),
    ],
)
def test_a_host_that_cannot_be_used(launcher, answer, words):
    [error] = errors(launcher({"10.0.0.11": answer}))
    assert error.startswith("10.0.0.11: ")
    assert words in error


def test_up_uses_the_first_autoscaler_and_waits_for_all(launcher, ray_up, tmp_path):
    ray_up()
    made = launcher()
    assert made.up(print).state == "up"
    assert (tmp_path / "lab" / "variables").read_text() == "0"
    with pytest.raises(ClusterError, match="lab is already up"):
        made.up(print)


def test_part_of_the_hosts_is_an_error_and_all_are_ended(launcher, ray_up, programs):
    ray_up(joins=2)
    with pytest.raises(ClusterError, match="only 2 of 3 nodes joined"):
        launcher(wait_s=2).up(print)
    ended = [call for call in programs.calls() if "--end" in call]
    assert [call.split("@")[1].split()[0] for call in ended] == ["10.0.0.10", "10.0.0.11", "10.0.0.12"]


def test_what_ray_up_says_when_it_fails(launcher, ray_up):
    ray_up(joins=0, code=1)
    with pytest.raises(ClusterError, match="ray up failed"):
        launcher().up(print)


def test_down_names_what_it_could_not_end(launcher):
    answers = {"10.0.0.11": (255, "", "No route to host"), "10.0.0.12": (0, '{"left": [77]}', "")}
    left = launcher(answers).down(print)
    assert len(left) == 2
    assert "10.0.0.11: does not answer" in left[0]
    assert left[1] == "10.0.0.12: process 77"


def test_a_silent_head_is_lost(launcher):
    made = launcher()
    made.folder.create()
    write_json(made.folder.head, Head("i", "h0", "1.1.1.1", 1, 2, "3.11.7", "2.60.0"))
    made.folder.joined.write_text(json.dumps({"updated": 0, "hosts": ["h0"], "cpus": 1, "gpus": 0}))
    assert made.status().state == "lost"
