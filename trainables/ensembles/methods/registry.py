"""The methods by name, and how a run of one starts."""

from __future__ import annotations

from raybayes.contract import Context
from trainables.ensembles.config import Config, Method
from trainables.ensembles.data.images import ImageData
from trainables.ensembles.methods.batch_ensemble import BatchEnsembleRun
from trainables.ensembles.methods.csgld import CyclicalSGLDRun
from trainables.ensembles.methods.dropout import DropoutRun
from trainables.ensembles.methods.fge import FastGeometricRun
from trainables.ensembles.methods.laplace import LaplaceRun
from trainables.ensembles.methods.last_layer import LastLayerRun
from trainables.ensembles.methods.mimo import MimoRun
from trainables.ensembles.methods.packed import PackedRun
from trainables.ensembles.methods.snapshot import SnapshotRun
from trainables.ensembles.methods.swag import SwagRun
from trainables.ensembles.methods.variational import VariationalRun
from trainables.ensembles.registry import require_same_names
from trainables.ensembles.run.interface import TrainingRun
from trainables.ensembles.run.replay import ReplayedRun
from trainables.ensembles.run.run import Run

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
require_same_names("method", Method, METHODS)


def start_run(config: Config, data: ImageData, ctx: Context, index: int) -> TrainingRun:
    """Run number `index` of the plan, before its first step; its training is replayed if the configuration says so."""
    run = METHODS[config.method](config, data, ctx, index)
    return ReplayedRun(run) if config.reuse_pretrained else run
