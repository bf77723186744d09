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
    from raybayes.api import extend, open_sweep, resume, sweep, train
    from raybayes.sweeps.confirmation import confirm
    from raybayes.sweeps.simulation import Recorded, simulate


__all__ = [
    "ClusterError",
    "DataError",
    "Interrupted",
    "OutOfTime",
    "RaybayesError",
    "Recorded",
    "RefusedDataError",
    "ResourceError",
    "SpaceError",
    "SpecError",
    "StoreError",
    "TrialError",
    "__version__",
    "confirm",
    "extend",
    "open_sweep",
    "resume",
    "simulate",
    "sweep",
    "train",
]
_CALLS = {
    **dict.fromkeys(("extend", "open_sweep", "resume", "sweep", "train"), "raybayes.api"),
    "confirm": "raybayes.sweeps.confirmation",
    **dict.fromkeys(("Recorded", "simulate"), "raybayes.sweeps.simulation"),
}


def __getattr__(name: str) -> Any:
    if name in _CALLS:
        return getattr(import_module(_CALLS[name]), name)
    raise AttributeError(f"module 'raybayes' has no attribute {name!r}; it has {', '.join(__all__)}")
