"""From flags and files to a checked spec: the file first, flags over it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from raybayes.errors import SpecError
from raybayes.spec.sweep_spec import SweepSpec, make_spec
from raybayes.spec.yaml_files import read_yaml


def sweep_spec(
    project: str | None, given: Mapping[str, Any], config_file: str | None, spec_file: str | None
) -> tuple[SweepSpec, Any, Any]:
    """The spec that a command line asks for, the executor, and the wall time.

    Raises:
        SpecError: no project, an unreadable file, an unknown key (with its line), a value out of range.
    """
    values, lines = read_yaml(spec_file) if spec_file else ({}, {})
    tables = {
        "config": {**(values.get("config") or {}), **config_values(given, config_file)},
        "constraints": {**(values.get("constraints") or {}), **given.get("constraints", {})},
    }
    values |= {**given, **tables}
    if project is not None:
        values["project"] = project
    if not values.get("project"):
        raise SpecError("no project given; write raybayes sweep PROJECT (raybayes projects lists them).")
    executor, walltime = values.pop("executor", "ray"), values.pop("walltime", None)
    return make_spec("sweep", values, spec_file or "sweep", lines), executor, walltime


def config_values(given: Mapping[str, Any], config_file: str | None) -> dict[str, Any]:
    """Configuration values of a file, and of -s over them."""
    from_file = read_yaml(config_file)[0] if config_file else {}
    return {**from_file, **given.get("config", {})}
