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
from raybayes.versions import RANGES


def test_checked_with_the_ray_that_is_installed():
    """The newest, which constraints.txt pins, and the lowest of the range, on which CI runs this file again."""
    checked = ("2.56.0", "2.60.0")
    assert importlib.metadata.version("ray") in checked, "run these tests, then name the new version in ray_internals"
    assert checked[0].startswith(RANGES["ray"][0])


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
print(json.dumps([part.__name__ for part in get_all_modules(SubprocessModule)
    if getattr(part, "is_enabled", lambda: True)()]))  # Ray 2.56 cannot disable any
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


class TestTheMemoryMonitor:
    """Ray raises an exception that Tune does not know when its memory monitor kills; it must stay a loss of one."""

    def test_tune_takes_a_kill_for_a_death(self):
        from ray.air.execution._internal import actor_manager
        from ray.exceptions import OutOfMemoryError, RayActorError
        from ray.tune.execution import tune_controller

        assert not issubclass(OutOfMemoryError, RayActorError), "Tune takes it for a death by itself now"
        error = OutOfMemoryError("1 worker(s) were killed due to the node running low on memory.")
        with ray_internals.memory_kills_as_actor_deaths():
            for module in (actor_manager, tune_controller):
                assert isinstance(error, module.RayActorError)
                assert isinstance(RayActorError(), module.RayActorError)
        assert actor_manager.RayActorError is tune_controller.RayActorError is RayActorError

    def test_tune_still_has_the_files_of_a_trials_error(self):
        from ray.tune.experiment import Trial

        assert isinstance(Trial.error_file, property)
        assert isinstance(Trial.pickled_error_file, property)

    def test_the_reason_is_what_ray_says_of_the_memory(self, tmp_path):
        said = "1 worker(s) were killed due to the node running low on memory. Memory on the node was 9GB / 10GB"
        file = tmp_path / "error.txt"
        file.write_text(f"Failure # 1 (occurred at noon)\n{said}\nOOM kill reason: ...\nRefer to the documentation\n")
        trial = SimpleNamespace(error_file=str(file), pickled_error_file=None)
        assert ray_internals.error_of_trial(trial) is None
        assert ray_internals.reason_of_trial(trial, None) == said
        assert ray_internals.reason_of_trial(trial, ValueError("no\n\tpid: 3\n")) == "no"


def test_ray_still_starts_its_processes_where_they_get_a_group_of_their_own():
    import subprocess

    from ray._private import services

    whole = services.ConsolePopen
    with ray_internals.in_own_process_group():
        process = services.ConsolePopen(["sleep", "30"])
    try:
        assert os.getpgid(process.pid) == process.pid
        assert services.ConsolePopen is whole
        assert issubclass(whole, subprocess.Popen)
        assert "ConsolePopen(" in inspect.getsource(services.start_ray_process)
    finally:
        process.kill()
        process.wait()


def test_the_head_has_the_resource_that_admits_there():
    from ray._common.constants import HEAD_NODE_RESOURCE_NAME

    assert HEAD_NODE_RESOURCE_NAME == ray_internals.HEAD_RESOURCE
