import os

import pytest

from raybayes.errors import ClusterError
from raybayes.launch.cluster_paths import ClusterFolder, Head, NodeRecord, write_json
from raybayes.launch.node import processes
from raybayes.launch.node.detached import start_detached
from raybayes.launch.node.options import build_parser


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Starts a worker in a folder; the host is named h0."""
    monkeypatch.setattr("socket.gethostname", lambda: "h0")
    folder = ClusterFolder(tmp_path / "c")
    folder.create()

    def run():
        arguments = ["--worker", "--detach", "--folder", str(folder.path), "--join-timeout-s", "30"]
        return start_detached(build_parser().parse_args(arguments), folder, arguments)

    run.folder = folder
    return run


def test_a_worker_of_the_current_head_is_not_started_again(start, capsys):
    pid = os.getpid()
    born = processes.start_time(pid)
    write_json(start.folder.head, Head("c-1", "h0", "10.0.0.1", 1, 2, "3.11.7", "2.60.0"))
    record = NodeRecord("h0", pid, born, (pid, born), "c-1/0@h0/1", "/tmp/none", (20000, 100), False)
    write_json(start.folder.node(0, "h0"), record)
    assert start() == 0
    assert capsys.readouterr().out == f"h0: Ray is already up (process {pid})\n"


def test_a_node_that_ends_at_once_gives_its_reason(start):
    start.folder.token.unlink()
    with pytest.raises(ClusterError, match=r"the node ended at once: .* has no token on this node"):
        start()
