"""From flags and files to a checked spec: the file first, flags over it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from raybayes.errors import SpecError
from raybayes.spec.sweep_spec import SweepSpec, make_spec
from raybayes.spec.yaml_files import read_yaml

if TYPE_CHECKING:
    from raybayes.training.own import OwnTraining

EXAMPLES = "lr=log:1e-4..1, width=int:16..256, optimizer=sgd|adam"


class OwnWords(NamedTuple):
    """What a command line says of a training that is not in the catalogue.

    Args:
        command: the words after `--`.
        params: declarations of parameters.
        metrics: patterns of metrics.
    """

    command: tuple[str, ...] = ()
    params: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()


def sweep_spec(
    project: str | None,
    given: Mapping[str, Any],
    config_file: str | None,
    spec_file: str | None,
    own: OwnWords = OwnWords(),  # noqa: B008 - it is immutable
) -> tuple[SweepSpec, Any, Any, OwnTraining | None]:
    """The spec that a command line asks for, the executor, the wall time, and a training outside the catalogue.

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
    executor, walltime = values.pop("executor", "ray"), values.pop("walltime", None)
    training, values = _trained(values, own)
    described = None if training is None else training.describe()
    return make_spec("sweep", values, spec_file or "sweep", lines, training=described), executor, walltime, training


def _trained(values: dict[str, Any], own: OwnWords) -> tuple[OwnTraining | None, dict[str, Any]]:
    """A training outside the catalogue, if the words name one; and the options for `make_spec`."""
    project = values.get("project")
    if project and ":" not in project and not any(own):
        return None, values  # a project of the catalogue
    from raybayes.sweeps.own import own_training
    from raybayes.training.parameters import parse_parameters

    values.pop("project", None)
    if own.command and project is not None:
        raise SpecError(f"found the project {project!r} and a command after --; give one of the two.")
    if not own.command and not project:
        raise SpecError(
            "no project given; write raybayes sweep PROJECT (raybayes projects lists them), FILE.py:NAME, or a "
            "command after --."
        )
    if own.params:
        values["space"] = parse_parameters(own.params)
    training, found = own_training(own.command or str(project), values, metrics=own.metrics)
    if training is None and (own.params or own.metrics):
        word = "--param" if own.params else "--metric"
        raise SpecError(
            f"{word} describes your own training; {project} is a project of the catalogue: use --space and --objective."
        )
    if training is not None and not training.space:
        raise SpecError(f"nothing is searched; give --param NAME=RANGE, for example {EXAMPLES}.")
    return training, found


def config_values(given: Mapping[str, Any], config_file: str | None) -> dict[str, Any]:
    """Configuration values of a file, and of -s over them."""
    from_file = read_yaml(config_file)[0] if config_file else {}
    return {**from_file, **given.get("config", {})}
