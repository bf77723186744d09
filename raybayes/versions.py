"""The releases of Ray and Optuna that raybayes works with, as pyproject.toml declares them, and their refusal."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, version

from raybayes.errors import SpecError

# From the first release (included) to the last (excluded). CI runs the Ray smoke tests on the lowest, too.
RANGES = {"ray": ("2.56", "2.61"), "optuna": ("5.0", "5.1")}


def require_version(package: str) -> None:
    """SpecError if another release of a package is installed than raybayes works with.

    Args:
        package: a key of `RANGES`.
    """
    lowest, below = RANGES[package]
    wanted = f"{package}>={lowest},<{below}"
    try:
        found = version(package)
    except PackageNotFoundError:
        hint = ", or train without it: --local" if package == "ray" else ""
        raise SpecError(f"{package} is not installed; run pip install '{wanted}'{hint}.") from None
    if not _release(lowest) <= _release(found) < _release(below):
        raise SpecError(f"found {package} {found}; raybayes works with {wanted}: run pip install '{wanted}'.")


def _release(text: str) -> tuple[int, ...]:
    """Major and minor number."""
    return tuple(int(number) for number in re.findall(r"\d+", text)[:2])
