from pathlib import Path

import pytest

from raybayes.launch.config.cluster_spec import read_cluster
from raybayes.launch.launchers.hosts import HostsLauncher
from raybayes.launch.launchers.kuberay import KubeRayLauncher
from raybayes.launch.launchers.local import LocalLauncher
from raybayes.launch.launchers.slurm import SlurmLauncher
from raybayes.launch.registry import launcher_for

SHIPPED = Path(__file__).parents[2] / "cluster"


@pytest.mark.parametrize(
    ("file", "launcher"),
    [
        ("local.yaml", LocalLauncher),
        ("slurm_cpu.yaml", SlurmLauncher),
        ("slurm_v100.yaml", SlurmLauncher),
        ("hosts.yaml", HostsLauncher),
        ("kuberay.yaml", KubeRayLauncher),
    ],
)
def test_every_shipped_file_has_its_launcher(file, launcher):
    path = str(SHIPPED / file)
    assert type(launcher_for(read_cluster(path), path)) is launcher
