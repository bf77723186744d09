"""What a task starts from: the settings of a search for one order, unless an estimator is named."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raybayes.data import is_path
from trainables.permutations.config.estimators import ESTIMATORS

_SEARCH = {"estimator": "rloo", "scale_by_std": True, "lr": 0.1}
STARTS: dict[str, dict[str, Any]] = {
    "own": {**_SEARCH, "samples": 32},
    "tsp": {**_SEARCH, "samples": 32, "descent": 0.5},
    "causal": {**_SEARCH, "samples": 128},
    "ranking": {**_SEARCH, "samples": 16, "lr": 0.02},
}


def started(values: Mapping[str, Any]) -> dict[str, Any]:
    """The values over those of their task.

    The settings of `STARTS` hold where no estimator is named: all of them belong to one, and the toy keeps the paper's.
    A leave-one-out estimator, which needs samples, has those of the task.
    A file as causal's data set means graph = own and score = bic. Where the cost has no relaxation, RELAX's control
    variate is its network alone.
    """
    task, causal = str(values.get("task")), values.get("causal", {})
    found = dict(values) if "estimator" in values else {**STARTS.get(task, {}), **values}
    needy = {name for name, traits in ESTIMATORS.items() if traits.leaves_one_out}
    if task in STARTS and values.get("estimator") in needy:
        found.setdefault("samples", STARTS[task]["samples"])
    if task == "causal" and is_path(str(values.get("dataset"))) and isinstance(causal, Mapping):
        found["causal"] = {"graph": "own", "score": "bic", **causal}
    if found.get("estimator") in ("relax", "relax_centred") and _without_relaxation(found):
        critic = found.get("critic", {})
        found["critic"] = {"of": "black_box", **critic} if isinstance(critic, Mapping) else critic
    return found


def _without_relaxation(values: Mapping[str, Any]) -> bool:
    task, causal = values.get("task"), values.get("causal", {})
    if task == "causal":
        score = causal.get("score") if isinstance(causal, Mapping) else getattr(causal, "score", None)
        return score != "joint"
    return task == "own" and values.get("soft") is None
