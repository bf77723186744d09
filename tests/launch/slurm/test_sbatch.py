from pathlib import Path

import pytest

from raybayes.launch.config.cluster_spec import SlurmCluster
from raybayes.launch.slurm.sbatch import sbatch_text

GOLDEN = Path(__file__).parent / "golden"
COMMON = {"kind": "slurm", "name": "lab", "shared": "/nfs/me", "python": "/opt/venv/bin/python", "time": "02:00:00"}
CASES = {
    "smallest": (SlurmCluster(**COMMON), ()),
    "everything": (
        SlurmCluster(
            **COMMON,
            partition="gpu", account="bayes", qos="long", nodes=2, tasks_per_node=2, cpus_per_task=20,
            gpus_per_node=4, gpu_type="v100", memory="180G", signal_lead_s=600, extra=("--exclusive", "--mail=END"),
            setup=("module load cuda", 'source "$HOME/venv/bin/activate"'), environment={"B": "two words", "A": "1"},
            interface="ib0", object_store_mb=2000, results="/nfs/me/runs", scratch="/local", requeues=7,
        ),
        ("sweep", "ensembles", "--trials", "50", "-s", "method=deep ensemble"),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_the_text_is_exactly_this(name):
    cluster, command = CASES[name]
    text = sbatch_text(cluster, Path("/nfs/me/lab"), Path("/home/me/work"), command)
    assert text == (GOLDEN / f"{name}.sbatch").read_text()
