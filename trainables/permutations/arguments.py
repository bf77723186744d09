"""The arguments of `minimise_order`, each refused in a sentence: what was found, what is allowed."""

from __future__ import annotations

import operator
from pathlib import Path
from typing import Any

import torch
from pydantic import ValidationError
from torch import Tensor

from raybayes.errors import SpecError
from trainables.permutations.config import ESTIMATORS, Config, CriticValues

SETTINGS = (
    "estimator", "model", "samples", "lr", "lr_decay", "momentum", "scale_by_std", "entropy", "init_scale", "spread",
    "elite", "memory", "collapse", "descent", "precision", *(f"critic.{name}" for name in CriticValues.model_fields),
    "relaxation.sigma",
)  # fmt: skip


def whole(name: str, value: Any, least: int) -> int:
    """The argument as an int; SpecError if it is no whole number from `least` on."""
    try:
        found = operator.index(value)
    except TypeError:
        found = least - 1
    if isinstance(value, bool) or found < least:
        what = f"an order needs an integer n >= {least}" if name == "n" else f"it must be a whole number >= {least}"
        raise SpecError(f"found {name} = {value!r}; {what}.")
    return found


def require_function(name: str, value: Any, what: str) -> None:
    """SpecError if the argument cannot be called."""
    if not callable(value):
        raise SpecError(f"found {name} = {type(value).__name__}; {name} must be a function of {what}.")


def require_bool(name: str, value: Any) -> None:
    """SpecError if the argument is neither True nor False."""
    if not isinstance(value, bool):
        raise SpecError(f"found {name} = {value!r}; it must be True or False.")


def known_order(start: Any, n: int) -> Tensor | None:
    """The order that is known at the start; None if none is."""
    if start is None:
        return None
    try:
        order = torch.as_tensor(start)
        listed = sorted(order.tolist()) if order.shape == (n,) and not order.is_floating_point() else []
    except (TypeError, ValueError, RuntimeError):
        listed, order = [], start
    if listed != list(range(n)):
        shown = order.tolist() if isinstance(order, Tensor) else order
        raise SpecError(f"found start = {shown}; it must be an order of 0 to {n - 1}, each once.")
    return order.long().cpu()


def device_of(name: Any) -> torch.device:
    """The device; SpecError if torch knows none of that name or this machine has none."""
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError, TypeError, NotImplementedError) as error:
        reason = str(error).splitlines()[0].rstrip(".")
        raise SpecError(f"found device = {name!r}, which cannot be used ({reason}); use 'cpu' or 'cuda'.") from None
    return device


def state_file(resume: Any) -> Path | None:
    """The file that a search continues from and stores its state in."""
    if resume is None:
        return None
    if not isinstance(resume, (str, Path)):
        raise SpecError(f"found resume = {resume!r}; it must be the path of a file, which need not exist yet.")
    path = Path(resume).expanduser()
    if path.is_dir() or not path.absolute().parent.is_dir():
        raise SpecError(f"found resume = {path}; it must be a file in a folder that exists.")
    return path


def configured(evaluations: int, starts: int, settings: dict[str, Any]) -> Config:
    """The project's configuration of a search for one order of the user's own cost.

    Raises:
        SpecError: a setting that does not exist or has no effect here, or a value that cannot be.
    """
    if "restarts" in settings:
        raise SpecError("minimise_order has no option 'restarts'; its runs share the evaluations: raise runs instead.")
    if wrong := [name for name in settings if name not in SETTINGS]:
        raise SpecError(
            f"minimise_order has no setting {wrong[0]!r}; valid settings: {', '.join(SETTINGS)}; see `raybayes projects"
            f" permutations`."
        )
    config = _validated(_values(evaluations, starts, settings))
    if config.traits.relaxed or (config.traits.control_variate and config.critic.of == "relaxed"):
        raise SpecError(
            f"found estimator = {config.estimator}, which needs a relaxation of f; for a black box use rloo,"
            f" reinforce_ema, or relax or relax_centred with critic.of = black_box."
        )
    return config


def _values(evaluations: int, starts: int, settings: dict[str, Any]) -> dict[str, Any]:
    chosen = settings.get("estimator", "rloo")
    values: dict[str, Any] = {"estimator": chosen, "lr": 0.1, "evaluations": evaluations, "runs": 1, "restarts": starts}
    values |= {"memory": chosen != "exact", "descent": 0.0 if chosen == "exact" else 0.25}
    critic: dict[str, Any] = {"of": "black_box"}
    if chosen in ESTIMATORS and ESTIMATORS[chosen].several:
        # Many samples per update, and advantages without a unit, so that one step size suits every cost.
        values["samples"] = max(2, min(32, evaluations // (50 * starts)))
        values["scale_by_std"] = True
    for name, value in settings.items():
        group, _, leaf = name.partition(".")
        if not leaf:
            values[name] = value
        elif group == "critic":
            critic[leaf] = value
        else:
            values[group] = {**values.get(group, {}), leaf: value}
    return {**values, "critic": critic}


def _validated(values: dict[str, Any]) -> Config:
    try:
        return Config(**values)
    except ValidationError as error:
        problem = error.errors()[0]
        where = ".".join(str(part) for part in problem["loc"])
        message = problem["msg"].removeprefix("Value error, ").rstrip(".")
        if where:
            message = f"{where}: found {problem['input']!r}; {message[0].lower()}{message[1:]}"
        raise SpecError(f"{message}; see `raybayes projects permutations`.") from None
