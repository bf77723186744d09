"""The Slurm launcher against stand-ins for Slurm's commands."""

import pytest

from raybayes.errors import ClusterError
from raybayes.launch.cluster_paths import NodeRecord, read_json, write_json
from raybayes.launch.launchers import slurm as module
from raybayes.launch.launchers.slurm import SlurmLauncher


def test_up_says_what_it_waits_for_and_ends_when_all_have_joined(slurm, queue, programs):
    queue("PENDING|Resources|", "PENDING|Resources|", "PENDING|Priority|", "RUNNING|None|h[0-2]")
    said = []
    launcher = SlurmLauncher(slurm())
    status = launcher.up(said.append)
    assert status.state == "up"
    assert status.hosts == ("h0", "h1", "h2")
    assert said == [
        "job 42 submitted", "job 42 is pending (Resources)", "job 42 is pending (Priority)",
        "3 of 3 nodes have joined",
    ]  # fmt: skip
    assert launcher.folder.script.read_text() == launcher.render()
    assert read_json(launcher.folder.record)["job"] == "42"
    assert [call.split()[0] for call in programs.calls() if "sinfo" not in call][:1] == ["sbatch"]


def test_a_second_cluster_of_the_name_is_refused(slurm, queue):
    queue("RUNNING|None|h[0-2]")
    launcher = SlurmLauncher(slurm())
    launcher.up(print)
    with pytest.raises(ClusterError, match="lab is already up"):
        launcher.up(print)


def test_part_of_the_nodes_names_who_is_missing_and_cancels(slurm, queue, programs):
    queue("RUNNING|None|h[0-2]", joins=2)
    launcher = SlurmLauncher(slurm(join_timeout_s=0.5))
    with pytest.raises(ClusterError, match=r"only 2 of 3 nodes joined within 0.5 s \(h0, h1\)"):
        launcher.up(print)
    assert "scancel 42" in programs.calls()
    assert not launcher.folder.token.exists()


def test_pending_too_long_gives_slurms_reason_and_cancels(slurm, queue, programs):
    queue("PENDING|QOSMaxCpuPerUserLimit|")
    with pytest.raises(ClusterError, match="Slurm's reason is 'QOSMaxCpuPerUserLimit'"):
        SlurmLauncher(slurm(pending_timeout_s=0.2)).up(print)
    assert "scancel 42" in programs.calls()


def test_a_node_that_cannot_join_ends_the_wait(slurm, queue, programs):
    refused = "(here / 'shared' / 'lab' / 'refused-h1').write_text('another Ray is here.')"
    queue("RUNNING|None|h[0-2]", joins=2, sbatch=f"{refused}; print(42)")
    with pytest.raises(ClusterError, match=r"a node cannot join\. h1: another Ray is here\."):
        SlurmLauncher(slurm(join_timeout_s=600)).up(print)
    assert "scancel 42" in programs.calls()


def test_a_job_that_ends_at_once_shows_its_last_lines(slurm, queue):
    queue("RUNNING|None|h[0-2]", "", joins=0)
    launcher = SlurmLauncher(slurm())
    launcher.folder.create()
    launcher.folder.output.write_text("module: not found\n")
    with pytest.raises(ClusterError, match="ended before the nodes had joined; its last lines: module: not found"):
        launcher.up(print)


def test_slurms_own_words_when_it_refuses(slurm, queue):
    queue("", joins=0, sbatch="sys.exit('sbatch: error: Invalid account or account/partition combination')")
    with pytest.raises(ClusterError, match="Invalid account"):
        SlurmLauncher(slurm()).up(print)


def test_down_ends_its_own_job_by_its_id(slurm, queue, programs):
    queue("RUNNING|None|h[0-2]")
    launcher = SlurmLauncher(slurm())
    launcher.up(print)
    queue("RUNNING|None|h[0-2]", "RUNNING|None|h[0-2]", "")
    assert launcher.down(print) == []
    assert launcher.status().state == "down"
    assert not [call for call in programs.calls() if call.startswith("scancel") and call != "scancel 42"]
    assert not launcher.folder.token.exists()
    assert launcher.down(print) == []


def test_a_node_that_did_not_clean_up_is_reported(slurm, queue, monkeypatch):
    queue("RUNNING|None|h[0-2]")
    launcher = SlurmLauncher(slurm())
    launcher.up(print)
    write_json(
        launcher.folder.node(1, "h1"), NodeRecord("h1", 7, 1.0, (8, 1.0), "m", "/tmp/rb0-x", (20000, 100), False)
    )
    queue("")
    waited = module.wait_for_cleanup
    monkeypatch.setattr(module, "wait_for_cleanup", lambda folder: waited(folder, 0.1))
    assert launcher.down(print) == ["h1: /tmp/rb0-x"]


def test_slurm_absent(slurm, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    errors = [finding.text for finding in SlurmLauncher(slurm()).check() if finding.level == "error"]
    assert errors[0].startswith("sbatch is not on the PATH")
    assert "login node" in errors[0]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"nodes": 11}, "it has 10 nodes, but 11 are requested"),
        ({"scratch": "/local/scratch/users/somebody/with/a/long/name"}, "Linux allows 107"),
        ({"ports": "[20000, 20050]"}, "ports 20000 to 20050: a node with 4 CPUs needs 100 in a row"),
    ],
)
def test_requests_that_can_never_be_met(slurm, queue, changes, words):
    queue("")
    [error] = [finding.text for finding in SlurmLauncher(slurm(**changes)).check() if finding.level == "error"]
    assert words in error
