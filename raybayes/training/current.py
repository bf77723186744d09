"""What a training says from the inside: `rb.report`, `rb.current_trial`, `rb.should_stop`, `rb.epochs`.

The same lines work in a function that a sweep calls, in a script that a sweep starts, and in a script that somebody
runs by hand, where they do nothing. A script finds the sweep through the variable RAYBAYES_TRIAL_SOCKET.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any, Protocol

from raybayes.contract import Context, State
from raybayes.errors import SpecError
from raybayes.training.channel import CHECKPOINT_EVERY, SOCKET, TRIAL_DIR, ScriptChannel

_trial: Context | None = None  # the trial that this process trains now: one after the other, never two at a time
_channel: ScriptChannel | None = None
_loop: Callable[[], State] | None = None  # the state of the loop of `epochs`, in a function
_LOOP_FILE = "epochs.pt"


class Stateful(Protocol):
    """A model, an optimizer, a scheduler: whatever PyTorch saves by its state."""

    def state_dict(self) -> Mapping[str, Any]: ...
    def load_state_dict(self, state: Any) -> Any: ...


@contextlib.contextmanager
def training(trial: Context) -> Iterator[None]:
    """Let `report` and `current_trial` speak to `trial` for a while."""
    global _trial, _loop
    before, _trial, _loop = _trial, trial, None
    try:
        yield
    finally:
        _trial, _loop = before, None


def current_trial() -> Context:
    """The context of the trial that is being trained in this process.

    Raises:
        SpecError: no trial is being trained here.
    """
    if _trial is None:
        raise SpecError(
            "current_trial: no trial is being trained in this process; call it inside a function that a sweep trains."
        )
    return _trial


def trial_or_none() -> Context | None:
    """The context of the trial that is being trained in this process, if there is one."""
    return _trial


def report(
    metrics: Mapping[str, float] | None = None, /, *, state: Callable[[], State] | None = None, **values: float
) -> None:
    """Report one step of the training to the sweep. Does nothing where no sweep listens.

    Args:
        metrics, values: numbers by name, the objective among them: `rb.report(loss=0.3, accuracy=0.9)`.
        state: makes the state to resume from; called only when a checkpoint is due. In a function only: a script keeps
            its files in RAYBAYES_TRIAL_DIR.

    Raises:
        Stop: the trial must end now. In a function only; let it pass through.
    """
    numbers = {name: _number(name, value) for name, value in {**(metrics or {}), **values}.items()}
    if not numbers:
        raise TypeError("report: found no metric; write rb.report(loss=...)")
    if _trial is not None:
        _trial.report(numbers, state or _loop)
    elif (channel := _script_channel()) is not None:
        channel.report(numbers)


def should_stop() -> bool:
    """Whether the sweep has asked this script to end, so that it can save and leave by itself.

    A script that never asks gets SIGTERM. Always False where no sweep listens, and in a function, where `report`
    raises `Stop` instead.
    """
    channel = _script_channel()
    return channel is not None and channel.should_stop()


def epochs(count: int, **objects: Stateful) -> Iterator[int]:
    """1, ..., `count`, from where an interrupted trial was: `for epoch in rb.epochs(10, model=model, optimizer=opt)`.

    The objects and PyTorch's generator of random numbers are saved with the sweep's checkpoints, and restored when the
    trial is resumed. Where no sweep listens, it counts from 1 and saves nothing.
    """
    if _trial is not None:
        yield from _epochs_in_function(_trial, count, objects)
    elif os.environ.get(TRIAL_DIR):
        yield from _epochs_in_script(Path(os.environ[TRIAL_DIR]) / _LOOP_FILE, count, objects)
    else:
        yield from range(1, count + 1)


def _epochs_in_function(trial: Context, count: int, objects: Mapping[str, Stateful]) -> Iterator[int]:
    global _loop
    last = _restore(trial.resume(), objects)
    for epoch in range(last + 1, count + 1):
        _loop = lambda epoch=epoch: _snapshot(epoch, objects)  # noqa: E731 - each report carries its own epoch
        yield epoch
    _loop = None


def _epochs_in_script(file: Path, count: int, objects: Mapping[str, Stateful]) -> Iterator[int]:
    import torch

    saved = torch.load(file, weights_only=True) if file.exists() else None
    last, saved_at = _restore(saved, objects), time.monotonic()
    if (channel := _script_channel()) is not None:
        channel.resumed_after(last)
    with _termination_waits() as asked:
        for epoch in range(last + 1, count + 1):
            yield epoch
            ending = asked.is_set()
            if ending or epoch == count or time.monotonic() - saved_at >= float(os.environ.get(CHECKPOINT_EVERY, "0")):
                part = file.with_suffix(".part")
                torch.save(_snapshot(epoch, objects), part)
                os.replace(part, file)  # a script that is killed here finds the one before
                saved_at = time.monotonic()
            if ending:
                raise SystemExit(128 + signal.SIGTERM)


@contextlib.contextmanager
def _termination_waits() -> Iterator[threading.Event]:
    """Let SIGTERM end the script at the end of its epoch, once that is saved, unless the script handles it itself."""
    asked = threading.Event()

    def ask(number: int, frame: FrameType | None) -> None:
        asked.set()

    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield asked
        return
    signal.signal(signal.SIGTERM, ask)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _snapshot(epoch: int, objects: Mapping[str, Stateful]) -> State:
    import torch

    states = {name: dict(one.state_dict()) for name, one in objects.items()}
    return {"epoch": epoch, "objects": states, "generator": torch.get_rng_state()}


def _restore(saved: State | None, objects: Mapping[str, Stateful]) -> int:
    """Put the objects back as they were; the last epoch that is in them."""
    import torch

    if saved is None:
        return 0
    for name, one in objects.items():
        if name not in saved["objects"]:
            known = ", ".join(saved["objects"]) or "nothing"
            raise SpecError(
                f"epochs: the checkpoint has no {name!r}, it has {known}; give the objects of its training."
            )
        one.load_state_dict(saved["objects"][name])
    torch.set_rng_state(saved["generator"])
    return int(saved["epoch"])


def _script_channel() -> ScriptChannel | None:
    global _channel
    place = os.environ.get(SOCKET)
    if place is None or os.environ.get("RANK", "0") != "0":  # of torchrun's processes the first one reports
        return None
    if _channel is None or _channel.place != place:
        _channel = ScriptChannel(place)
    return _channel


def _number(name: str, value: Any) -> float:
    try:
        return float(value)
    except (TypeError, ValueError):
        raise TypeError(f"report: {name}: found {value!r}; give a number") from None
