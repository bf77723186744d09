"""Methods by name."""

from __future__ import annotations

from trainables.ensembles.methods.batch_ensemble import BatchEnsembleRun
from trainables.ensembles.methods.csgld import CyclicalSGLDRun
from trainables.ensembles.methods.dropout import DropoutRun
from trainables.ensembles.methods.fge import FastGeometricRun
from trainables.ensembles.methods.laplace import LaplaceRun
from trainables.ensembles.methods.last_layer import LastLayerRun
from trainables.ensembles.methods.mimo import MimoRun
from trainables.ensembles.methods.packed import PackedRun
from trainables.ensembles.methods.run import Run
from trainables.ensembles.methods.snapshot import SnapshotRun
from trainables.ensembles.methods.swag import SwagRun
from trainables.ensembles.methods.variational import VariationalRun

METHODS: dict[str, type[Run]] = {
    "single": Run,
    "deep_ensemble": Run,  # the same run, several times
    "checkpoint": Run,  # the same run, members from its last epochs
    "snapshot": SnapshotRun,
    "csgld": CyclicalSGLDRun,
    "fge": FastGeometricRun,
    "swa": SwagRun,
    "swag": SwagRun,
    "mc_dropout": DropoutRun,
    "vi": VariationalRun,
    "laplace": LaplaceRun,
    "last_layer_laplace": LastLayerRun,
    "batch_ensemble": BatchEnsembleRun,
    "packed": PackedRun,
    "mimo": MimoRun,
}
