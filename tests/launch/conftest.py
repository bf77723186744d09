"""Cluster files without a cluster, and programs that stand in for Slurm's and ssh."""

import sys
from pathlib import Path

import pytest

from raybayes.errors import SpecError
from raybayes.launch.config.cluster_spec import read_cluster
from raybayes.launch.slurm import commands

SHIPPED = Path(__file__).parents[2] / "cluster"

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
def hosts_text():
    """The shipped `ray up` file."""
    return (SHIPPED / "hosts.yaml").read_text()


@pytest.fixture
def kuberay_text():
    """The shipped RayCluster manifest."""
    return (SHIPPED / "kuberay.yaml").read_text()


@pytest.fixture
def refused(tmp_path):
    """The sentence with which the text of a cluster file is refused, its folder left out."""

    def read(text):
        path = tmp_path / "c.yaml"
        path.write_text(text)
        with pytest.raises(SpecError) as error:
            read_cluster(str(path))
        return str(error.value).replace(f"{tmp_path}/", "")

    return read


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
    """Puts stand-ins on the PATH: `programs(squeue="print(...)")`; each writes its arguments to `calls`."""
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


SINFO = "print('cpu*|10|16|64000|(null)|1-00:00:00'); print('gpu|2|40|190000|gpu:v100:4(S:0-1)|infinite')"
# The queue answers with the lines of the file `queue`, one per call; the last one stays.
SQUEUE = """
lines = (here / "queue").read_text().splitlines()
print(lines[0]) if lines and lines[0] else None
if len(lines) > 1: (here / "queue").write_text("\\n".join(lines[1:]) + "\\n")
"""
JOIN = """
import json
folder = here / "shared" / "lab"
head = {"id": "i", "host": "h0", "ip": "10.0.0.1", "port": 1, "dashboard_port": 2, "python": "3.11.7", "ray": "2.60.0"}
(folder / "head.json").write_text(json.dumps(head))
hosts = [f"h{i}" for i in range(%d)]
(folder / "joined.json").write_text(json.dumps({"updated": 0, "hosts": hosts, "cpus": 12, "gpus": 0}))
"""


@pytest.fixture
def quick(monkeypatch):
    """Slurm is asked often, and given little time to end a job."""
    monkeypatch.setattr(commands, "POLL_S", 0.05)
    monkeypatch.setattr(commands, "_CLEAN_END_S", 0.3)


@pytest.fixture
def queue(tmp_path, programs, quick):
    """A stand-in for Slurm: `queue("PENDING|Resources|", "RUNNING||h[0-2]", joins=3)`."""

    def write(*lines, joins=3, sbatch="print('42;lab')"):
        (tmp_path / "queue").write_text("\n".join(lines) + "\n")
        programs(
            sinfo=SINFO, squeue=SQUEUE, scontrol="", sbatch=f"{JOIN % joins if joins else ''}\n{sbatch}",
            scancel="(here / 'queue').write_text('')",
        )  # fmt: skip

    return write
