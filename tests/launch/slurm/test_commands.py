import os

from raybayes.launch.cluster_paths import ClusterFolder
from raybayes.launch.slurm.commands import JobState, submit_job


def test_the_environment_of_another_cluster_does_not_reach_the_job(tmp_path, queue, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "10.9.9.9:1")
    queue("", joins=0, sbatch="(here / 'address').write_text(os.environ.get('RAY_ADDRESS', '-')); print('42;lab')")
    folder = ClusterFolder(tmp_path / "c")
    folder.create()
    assert submit_job("#!/bin/bash", folder, tmp_path) == "42"
    assert "RAY_ADDRESS" not in os.environ
    assert (tmp_path / "address").read_text() == "-"


def test_how_a_job_ended_in_words():
    assert JobState("FAILED", "NonZeroExitCode").outcome == "ended: failed (NonZeroExitCode)"
    assert JobState("CANCELLED", "None").outcome == "ended: cancelled"
    assert JobState("").outcome == "ended"
