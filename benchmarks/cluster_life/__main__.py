"""`python -m benchmarks.cluster_life`: clusters on the test hosts, timed; needs root, as `make test-hpc` does.

The tests in tests/hpc note how long each step took; this runs them a few times and keeps the medians. `--times FILE`
takes notes of earlier runs instead (RAYBAYES_HPC_TIMES of `make test-hpc`).
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.measurement import Sample, load, parser, publish

ROOT = Path(__file__).parent.parent.parent
NOTES = """
Three hosts and a login node, made of network, process and mount namespaces on one machine that they share with the
rest of its work: a real Slurm (slurmctld, munge, three slurmd), real sshd, a Ray node with one CPU and an object
store of 80 MB on each. The first report includes the start of the driver, of the trials' processes and their import of
torch; for "one job" also that of the whole cluster. Every run also checks what is left on all hosts after `down`,
`scancel`, the requeue and a killed supervisor (processes of Ray or raybayes, listening ports, folders); a run with
anything left fails.
"""


def main(argv: list[str]) -> int:
    own = parser("cluster_life", __doc__, "once")
    own.add_argument("--times", type=Path, help="notes of earlier runs")
    given = own.parse_args(argv)
    if given.times is None and (os.geteuid() != 0 or shutil.which("slurmctld", path="/usr/sbin:/usr/bin") is None):
        print("cluster_life: left out; its hosts need root and the Debian packages that make test-hpc installs")
        return 0
    before = load()
    notes = given.times or _run(1 if given.quick else 3)
    lines = [json.loads(line) for line in notes.read_text(encoding="utf-8").splitlines()]
    samples = [Sample(line["what"], "raybayes", line["seconds"]) for line in lines]
    before = lines[0]["load"] if given.times else before
    return publish(given, "cluster_life", "The life of a cluster", NOTES, samples, before)


def _run(times: int) -> Path:
    notes = Path(tempfile.mkdtemp(prefix="cluster-life-")) / "times.jsonl"
    for _ in range(times):
        command = [sys.executable, "-m", "pytest", "-q", "-m", "hpc", "tests/hpc"]
        subprocess.run(command, cwd=ROOT, env={**os.environ, "RAYBAYES_HPC_TIMES": str(notes)}, check=True)
    return notes


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
