import pytest

from raybayes.errors import ClusterError
from raybayes.launch.cluster_paths import ClusterFolder, NodeRecord, write_json
from raybayes.launch.interface import Status, missing_nodes_error, require_down


def test_a_cluster_that_runs_is_not_started_again():
    require_down(Status("down"), "lab")
    require_down(Status("lost"), "lab")
    with pytest.raises(ClusterError, match=r"lab is already pending \(job 7\); end it with raybayes cluster down"):
        require_down(Status("pending", "job 7"), "lab")


class TestMissingNodes:
    def test_the_node_that_started_but_did_not_join_is_named_with_rays_last_error(self, tmp_path):
        folder = ClusterFolder(tmp_path)
        folder.create()
        for index, host in enumerate(("h0", "h1")):
            record = NodeRecord(host, 7, 1.0, (8, 1.0), "m", "/tmp/rb0-x", (20000, 100), index == 0)
            write_json(folder.node(index, host), record)
        folder.node_log(1, "h1").write_text("starting\nConnectionError: no route\n")
        text = str(missing_nodes_error(folder, ("h0",), 2, 30))
        assert text.startswith("only 1 of 2 nodes joined within 30 s (h0); started but not joined: h1.")
        assert text.endswith("Ray's last error: ConnectionError: no route")

    def test_nodes_that_were_never_started(self, tmp_path):
        assert "(none); the others were never started" in str(missing_nodes_error(ClusterFolder(tmp_path), (), 2, 30))
