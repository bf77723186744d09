"""A training by its place: `train.py:train`, `package.module:train`, `train.py:PROJECT`, `train.py:SPACE`."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import sys
import traceback
from pathlib import Path
from types import ModuleType
from typing import Any

from raybayes.errors import SpecError
from raybayes.wording import did_you_mean


def is_reference(text: str) -> bool:
    """Whether a text names a training by its place, and not a project of the catalogue."""
    return ":" in text


def load_reference(text: str, folder: str = "") -> Any:
    """The object that a reference names.

    Args:
        text: `FILE.py:NAME` or `PACKAGE.MODULE:NAME`.
        folder: where a relative FILE was named; it is looked for in the current folder first, which on another machine
            is the copy of that one.

    Raises:
        SpecError: no such file, module or name; or what it raised when it was imported, with file and line.
    """
    place, _, name = text.rpartition(":")
    if not place or not name.isidentifier():
        raise SpecError(f"{text!r}: write FILE.py:NAME or PACKAGE.MODULE:NAME, for example train.py:train.")
    module = _import_file(text, place, folder) if place.endswith(".py") else _import_module(text, place)
    if not hasattr(module, name):
        names = [known for known in vars(module) if not known.startswith("_")]
        raise SpecError(f"{text}: {place} has no {name!r}{did_you_mean(name, names)}")
    return getattr(module, name)


def source_file(text: str, folder: str = "") -> Path | None:
    """The file of a reference to a file, where it lies here; None for a module."""
    place = text.rpartition(":")[0]
    return _find(place, folder) if place.endswith(".py") else None


def _find(place: str, folder: str) -> Path | None:
    candidates = [Path(place), Path(folder) / place]
    return next((file.resolve() for file in candidates if file.is_file()), None)


def _import_file(text: str, place: str, folder: str) -> ModuleType:
    file = _find(place, folder)
    if file is None:
        raise SpecError(f"{text}: there is no file {place} in {Path.cwd()}; give the path of the file.")
    loaded = sys.modules.get(file.stem)
    if loaded is not None and getattr(loaded, "__file__", None) == str(file):
        return loaded
    name = file.stem if loaded is None and importlib.util.find_spec(file.stem) is None else f"raybayes_file_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    if str(file.parent) not in sys.path:
        sys.path.insert(0, str(file.parent))  # what lies beside a script is imported from there
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException as error:
        del sys.modules[name]
        if isinstance(error, KeyboardInterrupt):
            raise
        raise _broken(text, error) from None
    return module


def _import_module(text: str, place: str) -> ModuleType:
    with contextlib.suppress(ValueError):
        sys.path.remove("")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(place)
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        raise _broken(text, error) from None


def _broken(text: str, error: BaseException) -> SpecError:
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "importlib" not in frame.filename]
    theirs = [frame for frame in frames if "/raybayes/training/" not in frame.filename]
    where = f" ({theirs[-1].filename}, line {theirs[-1].lineno})" if theirs else ""
    if isinstance(error, SyntaxError):
        where = f" ({error.filename}, line {error.lineno})"
    return SpecError(f"{text} cannot be imported{where}: {type(error).__name__}: {error}; correct it, or install it.")
