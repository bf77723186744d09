"""How text becomes the value of an option: durations, counts, bounds, paths. Pure Python, loads nothing."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from typing import Any

from raybayes.errors import SpecError

_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "": 1.0}


def duration(value: Any) -> Any:
    """`"90"`, `"90s"`, `"30m"`, `"2h"`, `"1d"` or `"1h30m"` in seconds; a number is seconds already.

    Raises:
        ValueError: the text is not a duration.
    """
    if not isinstance(value, str):
        return value
    parts = re.findall(r"(\d+(?:\.\d*)?)\s*([dhms]?)", value)
    if not parts or "".join(number + unit for number, unit in parts) != value.replace(" ", ""):
        raise ValueError("write seconds, or a duration such as 90s, 30m, 2h or 1h30m")
    return sum(float(number) * _UNITS[unit] for number, unit in parts)


def at_once(value: Any) -> Any:
    """How many trials at once: a number from 1, "auto", or None. Raises ValueError for anything else."""
    return value if value in (None, "auto") else _count(value, 1, "give a number from 1, or auto")


def fused(value: Any) -> Any:
    """How many trials train in one process: a number from 2, "auto", "never". Raises ValueError for anything else."""
    return value if value in ("never", "auto") else _count(value, 2, "give a number from 2, auto, or never")


def _count(value: Any, low: int, advice: str) -> int:
    if isinstance(value, bool) or not str(value).isdigit() or int(value) < low:
        raise ValueError(advice)
    return int(value)


def trial_numbers(value: Any) -> Any:
    """Which trials: True or "all", False, or numbers from 0. Raises ValueError for anything else."""
    if isinstance(value, bool) or value == "all":
        return bool(value)
    if isinstance(value, str) or not all(isinstance(each, int) and not isinstance(each, bool) for each in value):
        raise ValueError('give True, "all", or a list of trial numbers')
    return tuple(sorted(set(value)))


def names(value: Any) -> Any:
    """`"loss, size"` as ("loss", "size")."""
    return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value


def texts(value: Any) -> Any:
    """One text or several as a tuple."""
    return (value,) if isinstance(value, str) else tuple(value)


def path(value: Any) -> Any:
    """A pathlib.Path as text; a text or a URI as it is."""
    return os.fspath(value) if isinstance(value, os.PathLike) else value


def storage(value: Any) -> Any:
    """Where sweeps go: a folder or URI; by default RAYBAYES_STORAGE, which a cluster sets on its nodes, or `runs`."""
    return os.environ.get("RAYBAYES_STORAGE") or "runs" if value is None else path(value)


def table(value: Any) -> Any:
    """A mapping; None is an empty one."""
    return {} if value is None else value


def confirmation(value: Any) -> Any:
    """`"5x3"`, which is refused where it is not readable. Raises SpecError."""
    if isinstance(value, str):
        parse_confirm(value)
    return value


def bounds(value: Any) -> Any:
    """Bounds on metrics by name, each refused where it is not readable. Raises SpecError."""
    if isinstance(value, dict):
        for name, bound in value.items():
            parse_bound(name, bound)
    return table(value)


def component(value: Any) -> Any:
    """A sampler or scheduler, written `asha:eta=4`."""
    from raybayes.spec.component import Component  # loads pydantic, which `--help` can do without

    return Component.parse(value)


def settings(words: Sequence[str]) -> dict[str, Any]:
    """`["lr=0.1"]` as {"lr": 0.1}. Raises SpecError for a pair that is not readable."""
    from raybayes.spec.yaml_files import parse_settings  # loads PyYAML

    return parse_settings(words)


def constraints(words: Sequence[str]) -> dict[str, str]:
    """`["loss<=3"]` as {"loss": "<=3"}. Raises SpecError for one that is not readable."""
    found = {}
    for text in words:
        match = re.fullmatch(r"\s*([\w.]+)\s*([<>]=.*)", text)
        if match is None:
            raise SpecError(f"constraints: found {text!r}; write METRIC<=NUMBER or METRIC>=NUMBER.")
        found[match[1]] = match[2]
    return found


def parse_bound(name: str, bound: str) -> tuple[str, float]:
    """`"<= 60"` as ("<=", 60.0). Raises SpecError for anything else."""
    match = re.fullmatch(r"\s*(<=|>=)\s*(\S+)\s*", str(bound))
    try:
        limit = float(match[2]) if match else math.nan
    except ValueError:
        limit = math.nan
    if match is None or not math.isfinite(limit):
        raise SpecError(f"constraint on {name}: found {bound!r}; write '<= number' or '>= number'.")
    return match[1], limit


def parse_confirm(text: str) -> tuple[int, int]:
    """`"5x3"` as (5 configurations, 3 seeds). Raises SpecError for anything else."""
    match = re.fullmatch(r"\s*(\d+)\s*x\s*(\d+)\s*", str(text))
    top, repeats = (int(match[1]), int(match[2])) if match else (0, 0)
    if top < 1 or repeats < 2:
        raise SpecError(f"confirm: found {text!r}; write TOPxSEEDS with at least 2 seeds, for example 5x3.")
    return top, repeats
