"""Whether a function can be sent to Ray's processes, and if not, because of what."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

from raybayes.errors import SpecError
from raybayes.training.own import OwnTraining


def require_travels(training: OwnTraining) -> None:
    """SpecError that names the object because of which a training cannot be sent to other processes."""
    reason = _problem(training)
    if reason is None:
        return
    name, value = _culprit(training.function) or (training.name, training.function)
    raise SpecError(
        f"train: {training.name} cannot be sent to Ray's processes, because {name} ({type(value).__name__}) does not "
        f"pickle: {reason}; make {name} inside the function, or train in this process: executor='local'."
    )


def _problem(value: Any) -> str | None:
    """Why an object does not pickle, as Ray pickles it; None if it does."""
    from ray import cloudpickle

    try:
        cloudpickle.dumps(value)
    except Exception as error:  # objects raise what they like
        return str(error).partition("\n")[0].rstrip(".") or type(error).__name__
    return None


def _culprit(function: Callable[..., Any] | None) -> tuple[str, Any] | None:
    """The first thing that a function uses and that does not pickle, by the name that it has there."""
    for name, value in _used_by(function):
        if _problem(value) is not None:
            deeper = _culprit(value) if callable(value) and not inspect.isclass(value) else None
            return deeper or (name, value)
    return None


def _used_by(function: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(function, functools.partial):
        yield from [("its function", function.func), *function.keywords.items()]
        yield from ((f"argument {number}", value) for number, value in enumerate(function.args, 1))
        return
    if inspect.ismethod(function):
        yield from vars(function.__self__).items()
        function = function.__func__
    elif not inspect.isfunction(function):
        yield from getattr(function, "__dict__", {}).items()
        return
    closure = inspect.getclosurevars(function)
    yield from [*closure.nonlocals.items(), *closure.globals.items()]
    defaults = {name: one.default for name, one in inspect.signature(function).parameters.items()}
    yield from ((name, value) for name, value in defaults.items() if value is not inspect.Parameter.empty)
