"""Clusters that exist only on paper, and programs that only pretend."""

import sys

import pytest

from raybayes.launch.config.cluster_spec import read_cluster

SLURM = """\
kind: slurm
name: lab
partition: cpu
nodes: 3
cpus_per_task: 4
time: "02:00:00"
shared: {shared}
python: /opt/venv/bin/python
"""


@pytest.fixture
def slurm_file(tmp_path):
    """Writes a Slurm file, with lines changed or added; returns its path."""

    def write(more="", **changes):
        text = SLURM.format(shared=tmp_path / "shared") + more
        for key, value in changes.items():
            kept = [line for line in text.splitlines() if not line.startswith(f"{key}:")]
            text = "\n".join([*kept, f"{key}: {value}", ""])
        path = tmp_path / "slurm.yaml"
        path.write_text(text)
        return str(path)

    return write


@pytest.fixture
def slurm(slurm_file):
    """The spec of `slurm_file`."""
    return lambda *more, **changes: read_cluster(slurm_file(*more, **changes))


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """Puts pretended programs on the PATH: `programs(squeue="print(...)")`; each logs its arguments to `calls`."""
    folder = tmp_path / "bin"
    folder.mkdir()
    calls = tmp_path / "calls"
    calls.touch()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def write(**bodies):
        for name, body in bodies.items():
            path = folder / name
            path.write_text(
                f"#!{sys.executable}\nimport os, sys, time\nfrom pathlib import Path\nhere = Path({str(tmp_path)!r})\n"
                f"with open({str(calls)!r}, 'a') as log: print({name!r}, *sys.argv[1:], file=log)\n{body}\n"
            )
            path.chmod(0o755)

    write.calls = lambda: calls.read_text().splitlines()
    return write
