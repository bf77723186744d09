"""From flags and files to a checked spec: the file first, flags over it."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from raybayes.api import default_name
from raybayes.errors import SpecError
from raybayes.spec.sweep_spec import SweepSpec, parse_duration
from raybayes.spec.validation import build
from raybayes.spec.yaml_files import parse_settings, read_yaml


def sweep_spec(
    flags: Mapping[str, Any],
    resources: Mapping[str, Any],
    keep_checkpoints: int | None,
    settings: Sequence[str],
    config_file: str | None,
    constraints: Sequence[str],
    spec_file: str | None,
) -> SweepSpec:
    """The spec that a command line asks for.

    Raises:
        SpecError: no project, an unreadable file, an unknown key (with its line), a value out of range.
    """
    values, lines = read_yaml(spec_file) if spec_file else ({}, {})
    values |= {name: value for name, value in flags.items() if value is not None}
    given = {name: value for name, value in resources.items() if value is not None}
    if given:
        values["resources"] = {**values.get("resources", {}), **given}
    if keep_checkpoints is not None:
        values["checkpoints"] = {**values.get("checkpoints", {}), "keep": keep_checkpoints}
    values["config"] = {**values.get("config", {}), **config_values(settings, config_file)}
    if constraints:
        values["constraints"] = {**values.get("constraints", {}), **dict(_bound(text) for text in constraints)}
    if not values.get("project"):
        raise SpecError("no project was named; write raybayes sweep PROJECT (raybayes projects lists them).")
    for name in ("time_budget_s", "report_timeout_s"):
        values[name] = parse_duration(values.get(name))
    values.setdefault("name", default_name(str(values["project"])))
    return build(SweepSpec, values, spec_file or "sweep", lines)


def config_values(settings: Sequence[str], config_file: str | None) -> dict[str, Any]:
    """Configuration values of a file, and of -s over them."""
    from_file = read_yaml(config_file)[0] if config_file else {}
    return {**from_file, **parse_settings(settings)}


def _bound(text: str) -> tuple[str, str]:
    match = re.fullmatch(r"\s*([\w.]+)\s*([<>]=.*)", text)
    if match is None:
        raise SpecError(f"constraint {text!r} is not readable; write METRIC<=NUMBER or METRIC>=NUMBER.")
    return match[1], match[2]
