"""Methods by name."""

from __future__ import annotations

from trainables.ensembles.methods.run import Run
from trainables.ensembles.methods.snapshot import SnapshotRun

METHODS: dict[str, type[Run]] = {
    "single": Run,
    "deep_ensemble": Run,  # the same run, several times
    "snapshot": SnapshotRun,
}
