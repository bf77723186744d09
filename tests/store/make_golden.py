"""Writes the golden sweeps of the schema that this version writes; once per schema, for tests/store/golden.

cd tests/projects && python ../store/make_golden.py ../store/golden/schema-2
"""

import shutil
import sys
from pathlib import Path

import raybayes as rb
from raybayes.sweeps import execution

MACHINE = {"host": "node1", "cpus": 2, "cpu": "Intel(R) Xeon(R) Processor", "system": "Linux"}
UNNEEDED = ("tensorboard", "profile", "usage.json", "burst.lock")


def make(folder: Path) -> None:
    """`sweep`: pruned and failed trials, repeats, constraints, a confirmation; `run`; `paused`: one trial to finish."""
    execution.describe_machine = lambda: dict(MACHINE)
    rb.sweep("parabola", name="sweep", trials=12, config={"steps": 6, "fail_at": 2, "only_above": 0.45}, seed=11,
             scheduler="asha:grace_period=2,eta=2", constraints={"size": "<= 60"}, repeats=2, time_budget="1h",
             keep_checkpoints=2, checkpoint_every=0, max_failed_fraction=0.9, executor="local")  # fmt: skip
    rb.confirm("runs/sweep", 2, 2, executor="local")
    rb.train("parabola", {"steps": 3}, name="run", checkpoint_every=0, executor="local")
    try:
        rb.sweep("parabola", name="paused", trials=5, config={"steps": 5, "sleep_s": 0.3}, seed=1, checkpoint_every=0,
                 walltime=2.5, executor="local")  # fmt: skip
    except rb.OutOfTime as error:
        print(error)
    for name in ("sweep", "run", "paused"):
        shutil.copytree(Path("runs", name), folder / name, ignore=shutil.ignore_patterns(*UNNEEDED))
        print(rb.open_sweep(folder / name))


if __name__ == "__main__":
    make(Path(sys.argv[1]).absolute())
