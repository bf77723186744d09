"""The installed Ray still reads every variable that raybayes sets."""

import mmap
from pathlib import Path

import pytest
import ray

from raybayes.engine.on_ray.ray_settings import COMMON_VARIABLES, DRIVER_VARIABLES, MAX_PENDING_TRIALS

FOLDER = Path(ray.__file__).parent
# The Python files that read them; the library reads "RAY_<name>" for each of its own settings <name>.
PLACES = {
    "RAY_USAGE_STATS_ENABLED": "_common/usage/usage_constants.py",
    "RAY_worker_killing_policy_by_group": "_raylet.so",
    "RAY_AIR_NEW_OUTPUT": "tune/experimental/output.py",
    "RAY_CHDIR_TO_TRIAL_DIR": "train/constants.py",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "train/v2/_internal/constants.py",
}


@pytest.mark.parametrize("name", sorted({*COMMON_VARIABLES, *DRIVER_VARIABLES, MAX_PENDING_TRIALS}))
def test_ray_reads_the_variable(name):
    file = FOLDER / PLACES.get(name, "tune/constants.py")
    wanted = name.removeprefix("RAY_") if file.suffix == ".so" else name
    with file.open("rb") as content, mmap.mmap(content.fileno(), 0, access=mmap.ACCESS_READ) as text:
        assert text.find(wanted.encode()) >= 0, f"Ray does not read {name} in {file} any more"
