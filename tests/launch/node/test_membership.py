import socket

import pytest

from raybayes.engine.on_ray.ray_internals import LivingNode
from raybayes.launch.cluster_paths import ClusterFolder, Head
from raybayes.launch.node.membership import Membership


class Table:
    """Living nodes without Ray."""

    def __init__(self, *hosts):
        self.hosts = hosts

    def read_living(self):
        return [LivingNode(host, {"CPU": 2.0, "GPU": 1.0}) for host in self.hosts]


@pytest.fixture
def folder(tmp_path):
    made = ClusterFolder(tmp_path / "c")
    made.create()
    return made


def test_the_head_is_published_once_it_answers_and_then_who_has_joined(folder):
    with socket.create_server(("127.0.0.1", 0)) as server:
        head = Head("c-1", "h0", *server.getsockname(), 2, "3.11.7", "2.60.0")
        table = Table("h1", "h0")
        membership = Membership(head, folder, table)
        membership.publish()
        assert folder.read_head() == head
        joined = folder.read_joined()
        assert (joined.hosts, joined.cpus, joined.gpus) == (("h0", "h1"), 4.0, 2.0)
        membership.publish()
        assert folder.read_joined() == joined, "nothing has changed, so nothing is written"
        table.hosts = ("h0",)
        membership.publish()
        assert folder.read_joined().hosts == ("h0",)


def test_nothing_is_published_before_the_head_answers(folder):
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = server.getsockname()
    Membership(Head("c-1", "h0", *address, 2, "3.11.7", "2.60.0"), folder, Table("h0")).publish()
    assert folder.read_head() is None
    assert folder.read_joined() is None
