"""Each private name of Ray is where `ray_internals` says; a test that fails here names what an upgrade has moved."""

import datetime
import importlib.metadata
import inspect
import json
import os
import subprocess
import sys
from types import SimpleNamespace

import pytest

from raybayes.engine.on_ray import ray_internals


def test_checked_with_the_ray_that_is_installed():
    assert importlib.metadata.version("ray") == "2.60.0", "run these tests, then name the new version in ray_internals"


def test_the_ray_program():
    [program] = [
        entry.value for entry in importlib.metadata.entry_points(group="console_scripts") if entry.name == "ray"
    ]
    assert (*ray_internals.RAY_PROGRAM, "main") == ("-m", *program.split(":"))


def test_the_sentence_of_a_slow_start():
    import ray._private.node

    assert ray_internals.START_TIMED_OUT in inspect.getsource(ray._private.node)


def test_the_longest_socket():
    session, _, socket = ray_internals.LONGEST_SOCKET.partition("/sockets/")
    now = datetime.datetime.now().strftime("%Y-%m-%d_%H-%M-%S_%f")
    assert len(session) == len(f"session_{now}_{2**22 - 1}")  # the largest process number of Linux has seven digits
    assert max((f"dash_{name}" for name in running_heads()), key=len) == socket


def running_heads():
    """Names of the dashboard's parts that have a socket. In a process of its own: it imports all of the dashboard."""
    program = """
import json
from ray.dashboard.subprocesses.module import SubprocessModule
from ray.dashboard.utils import get_all_modules
print(json.dumps([part.__name__ for part in get_all_modules(SubprocessModule) if part.is_enabled()]))
"""
    ran = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=120, check=True)
    return json.loads(ran.stdout.splitlines()[-1])


class TestNodeTable:
    def test_the_client_and_what_it_answers(self):
        import ray._raylet
        from ray.core.generated.gcs_pb2 import GcsNodeInfo

        assert hasattr(ray._raylet.InnerGcsClient, "get_all_node_info")  # to which GcsClient hands every call
        assert GcsNodeInfo.ALIVE == 0
        assert {"node_manager_hostname", "resources_total", "state"} <= set(GcsNodeInfo.DESCRIPTOR.fields_by_name)

    def test_a_dead_node_is_left_out(self, monkeypatch):
        table = ray_internals.NodeTable("127.0.0.1:1")
        nodes = {
            1: SimpleNamespace(state=0, node_manager_hostname="h0", resources_total={"CPU": 2.0}),
            2: SimpleNamespace(state=1, node_manager_hostname="h1", resources_total={"CPU": 2.0}),
        }
        table._client = SimpleNamespace(get_all_node_info=lambda timeout: nodes)
        assert table.read_living() == [ray_internals.LivingNode("h0", {"CPU": 2.0})]


class TestRayUpFiles:
    def test_the_state_of_the_launching_machine(self, monkeypatch):
        from ray.autoscaler._private.local.config import get_lock_path, get_state_path

        files = ray_internals.ray_up_files("lab")
        assert (str(files.state), str(files.lock)) == (get_state_path("lab"), get_lock_path("lab"))

    def test_the_folder_of_the_connections(self):
        from ray.autoscaler._private.command_runner import SSHCommandRunner

        runner = SSHCommandRunner("", "node", None, {"ssh_user": "me"}, "lab", subprocess, False)
        assert runner.ssh_control_path == str(ray_internals.ray_up_files("lab").sockets)

    @pytest.mark.parametrize("name", ["config", "key"])
    def test_what_the_head_receives(self, name):
        from ray.autoscaler._private import commands

        path = str(getattr(ray_internals.ray_up_files("lab"), name))
        assert path.replace(os.path.expanduser("~"), "~") in inspect.getsource(commands)
