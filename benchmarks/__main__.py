"""Runs every benchmark of this folder, one after the other: `python -m benchmarks [--quick]`."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import benchmarks


def main(argv: list[str]) -> int:
    """Run all packages of this folder with the same options; the first exit code that is not 0."""
    names = sorted(module.name for module in pkgutil.iter_modules(benchmarks.__path__) if module.ispkg)
    codes = [importlib.import_module(f"benchmarks.{name}.__main__").main(argv) for name in names]
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
