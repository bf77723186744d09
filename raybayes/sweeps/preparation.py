"""A spec checked against its project, before anything is started or written."""

from __future__ import annotations

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from raybayes import catalog, data
from raybayes._version import __version__
from raybayes.contract import Project
from raybayes.errors import SpecError
from raybayes.hardware import describe_machine
from raybayes.search.plan import Plan, make_plan
from raybayes.search.preview import preview
from raybayes.space import Choice, Space
from raybayes.spec.sweep_spec import SweepSpec
from raybayes.spec.validation import nest
from raybayes.store.filesystem import open_storage
from raybayes.store.layout import Layout
from raybayes.sweeps.warm_start import warm_start_of

_DRAWS = 64  # of the first configurations, at most, are looked at before a sweep starts
Points = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Prepared:
    """A spec that was checked against its project, ready to run or to be shown by --dry-run."""

    spec: SweepSpec
    project: Project
    plan: Plan
    layout: Layout
    candidates: Sequence[Mapping[str, Any]] = ()  # of a confirmation: the trials that it repeats


def prepare(spec: SweepSpec, layout: Layout | None = None) -> Prepared:
    """Check everything that can be checked before anything starts. Writes nothing.

    Raises:
        RaybayesError: the first thing that is wrong.
    """
    project = catalog.load_project(spec.project)
    fixed = catalog.fixed_values(project, _dotted(spec.config))
    spec = spec.model_copy(update={"config": fixed})
    if spec.fuse != "never":
        catalog.require_fusion(project)
    space = Space({})
    if spec.kind == "sweep":
        space = catalog.load_space(project, spec.space)
        spec = spec.model_copy(update={"objective": spec.objective or project.objective})
    defaults = catalog.filled(project, {**space.constants(), **fixed})
    plan = make_plan(spec, space, project.metrics, defaults)
    # What an earlier burst has begun goes on; it is not asked again whether enough of its space is possible.
    points = _first_points(plan, min(_DRAWS, spec.trials) if layout is None else 1)
    _require_data(spec, project, plan, points, defaults)
    if layout is None:
        _require_possible(spec, project, points)
    layout = layout or Layout(open_storage(spec.storage).child(spec.name))
    return Prepared(spec, project, replace(plan, prior=warm_start_of(spec, plan, layout)), layout)


def _dotted(config: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in nest(config).items():
        if isinstance(value, Mapping):
            flat |= {f"{name}.{inner}": v for inner, v in _dotted(value).items()}
        else:
            flat[name] = value
    return flat


def _first_points(plan: Plan, most: int) -> Points:
    """What the first trials vary; nothing, once, where there is no space."""
    return preview(plan, most if plan.grid is None else min(most, len(plan.grid))) if plan.space else [{}]


def _require_data(spec: SweepSpec, project: Project, plan: Plan, points: Points, defaults: Mapping[str, Any]) -> None:
    """Look for the data set, and let the project look at what the configuration names, before anything starts.

    A project's data set is its config field `dataset`, by convention. What trials vary is as in the first of them that
    can run.
    """
    if "dataset" in plan.space:
        searched = plan.space["dataset"]
        names = list(searched.values) if isinstance(searched, Choice) else []
    else:
        names = [defaults.get("dataset")]
    for name in names:
        if isinstance(name, str) and name not in project.generated_datasets:
            data.origin(name, spec.data)
        if project.check is None:
            continue
        chosen = {} if name is None else {"dataset": name}
        possible = (values for point in points if not _refusal(project, values := {**spec.config, **point, **chosen}))
        if (first := next(possible, None)) is not None:
            project.check(catalog.configure(project, first), lambda wanted: data.load(wanted, spec.data))


def _require_possible(spec: SweepSpec, project: Project, points: Points) -> None:
    """SpecError if so many configurations of the space do not fit what the user has fixed that the sweep must fail."""
    refused = [problem for point in points if (problem := _refusal(project, {**spec.config, **point}))]
    if len(refused) > spec.max_failed_fraction * len(points):
        raise SpecError(
            f"space {spec.space}: {len(refused)} of the first {len(points)} configurations do not go with what is "
            f"fixed, for example: {refused[0]} Narrow the space with -s NAME=VALUE, fix less, or use another --space."
        )


def _refusal(project: Project, values: Mapping[str, Any]) -> str | None:
    try:
        catalog.configure(project, values)
    except SpecError as error:
        return str(error)
    return None


def describe(prepared: Prepared) -> dict[str, Any]:
    """The document of sweep.yaml: the spec with every default, the space, the objectives, versions, the machine."""
    spec, plan = prepared.spec, prepared.plan
    return {
        **spec.model_dump(mode="json"),
        "parameters": plan.space.describe(),
        "objectives": [{"name": o.name, "direction": o.direction, "unit": o.unit} for o in plan.objectives],
        "fidelity": prepared.project.fidelity,
        **({"candidates": list(prepared.candidates)} if prepared.candidates else {}),
        "versions": {
            "python": platform.python_version(),
            "raybayes": __version__,
            **{package: _version(package) for package in ("ray", "torch", "optuna", "pyarrow")},
        },
        "machine": describe_machine(),
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:  # without Ray, the in-process executor still works
        return "not installed"
