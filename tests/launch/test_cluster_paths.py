import stat

import pytest

from raybayes.errors import ClusterError
from raybayes.launch.cluster_paths import ClusterFolder, Head, NodeRecord, read_json, write_json


def test_only_the_owner_may_read(tmp_path):
    folder = ClusterFolder(tmp_path / "c")
    folder.create()
    write_json(folder.head, Head("c-1", "h0", "10.0.0.1", 1, 2, "3.11.7", "2.60.0"))
    assert stat.S_IMODE(folder.path.stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (folder.token, folder.head)} == {0o600}
    assert len(folder.token.read_text()) == 64
    assert folder.read_head().dashboard == "http://10.0.0.1:2"


def test_each_start_has_a_token_of_its_own(tmp_path):
    folder = ClusterFolder(tmp_path / "c")
    folder.create()
    before = folder.token.read_text()
    folder.create()
    assert folder.token.read_text() != before


def test_clearing_leaves_logs_alone(tmp_path):
    folder = ClusterFolder(tmp_path / "c")
    folder.create()
    write_json(folder.node(0, "h0"), {})
    folder.output.write_text("log")
    folder.clear_cluster()
    assert [path.name for path in folder.path.iterdir()] == ["logs"]
    assert folder.output.exists()


def test_the_refusals_of_an_earlier_start_are_removed(tmp_path):
    folder = ClusterFolder(tmp_path / "c")
    folder.write_refusal("h1", "there is no folder yet, so nothing is written")
    folder.create()
    folder.write_refusal("h1", "no room.")
    folder.write_refusal("h2", "no air.")
    assert folder.read_refusals() == ["h1: no room.", "h2: no air."]
    folder.clear_start()
    assert folder.read_refusals() == []


def test_a_folder_that_cannot_be_created(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(ClusterError, match="cannot be created"):
        ClusterFolder(tmp_path / "file" / "c").create()


def test_a_torn_file_is_an_error(tmp_path):
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(ClusterError, match="cannot be read"):
        read_json(tmp_path / "x.json")
    assert read_json(tmp_path / "absent.json") is None


@pytest.mark.parametrize("key", ["reaper", "janitor"])
def test_the_record_of_a_node_is_read_as_0_1_wrote_it_too(tmp_path, key):
    folder = ClusterFolder(tmp_path)
    record = NodeRecord("h0", 7, 1.5, (8, 2.5), "lab-1/0@h0/7", "/tmp/rb0-x", (20000, 100), True)
    write_json(folder.node(0, "h0"), record)
    written = read_json(folder.node(0, "h0"))
    write_json(folder.node(0, "h0"), {(key if name == "reaper" else name): value for name, value in written.items()})
    assert folder.read_node(0, "h0") == record
    assert folder.read_nodes() == [record]
    assert folder.read_node(1, "h1") is None
