"""raybayes: distributed training and hyperparameter search for Bayesian deep learning, on Ray and Optuna.

    >>> import raybayes as rb                                                       # doctest: +SKIP
    >>> run = rb.train("ensembles", {"method": "deep_ensemble"}, workers=2)         # doctest: +SKIP
    >>> sweep = rb.sweep("ensembles", trials=64, scheduler="asha")                  # doctest: +SKIP
    >>> sweep.best, sweep.trials                                                    # doctest: +SKIP

Importing this package imports neither ray, torch nor optuna; each is loaded by the part that drives it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

from raybayes._version import __version__
from raybayes.errors import (
    ClusterError,
    DataError,
    Interrupted,
    OutOfTime,
    RaybayesError,
    RefusedDataError,
    ResourceError,
    SpaceError,
    SpecError,
    StoreError,
    TrialError,
)

if TYPE_CHECKING:
    from raybayes.api import Sweep, confirm, extend, import_trials, open_sweep, resume, sweep, train
    from raybayes.contract import Command, Context, Findings, Fusion, Metric, Project, Rescore, Stop
    from raybayes.search.progress import Progress
    from raybayes.space import Choice, Float, Int, Space
    from raybayes.sweeps.recorded import Recorded
    from raybayes.sweeps.simulation import simulate
    from raybayes.training.current import current_trial, epochs, report, should_stop

__all__ = [
    "Choice",
    "ClusterError",
    "Command",
    "Context",
    "DataError",
    "Findings",
    "Float",
    "Fusion",
    "Int",
    "Interrupted",
    "Metric",
    "OutOfTime",
    "Progress",
    "Project",
    "RaybayesError",
    "Recorded",
    "RefusedDataError",
    "Rescore",
    "ResourceError",
    "Space",
    "SpaceError",
    "SpecError",
    "Stop",
    "StoreError",
    "Sweep",
    "TrialError",
    "__version__",
    "confirm",
    "current_trial",
    "epochs",
    "extend",
    "import_trials",
    "open_sweep",
    "report",
    "resume",
    "should_stop",
    "simulate",
    "sweep",
    "train",
]
_HOMES = {
    "raybayes.api": ("Sweep", "confirm", "extend", "import_trials", "open_sweep", "resume", "sweep", "train"),
    "raybayes.contract": ("Command", "Context", "Findings", "Fusion", "Metric", "Project", "Rescore", "Stop"),
    "raybayes.search.progress": ("Progress",),
    "raybayes.space": ("Choice", "Float", "Int", "Space"),
    "raybayes.sweeps.recorded": ("Recorded",),
    "raybayes.sweeps.simulation": ("simulate",),
    "raybayes.training.current": ("current_trial", "epochs", "report", "should_stop"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

if not TYPE_CHECKING:  # a type checker that saw it would take every misspelt name for an Any

    def __getattr__(name: str) -> Any:
        if name in _HOME:
            return getattr(import_module(_HOME[name]), name)
        raise AttributeError(f"module 'raybayes' has no attribute {name!r}; it has {', '.join(__all__)}")

    def __dir__() -> list[str]:
        return __all__
