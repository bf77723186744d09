"""A spec checked against its project, before anything is started or written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from raybayes import catalog, data
from raybayes.contract import Metric, Project
from raybayes.errors import SpecError
from raybayes.search.auto_sampler import choose_sampler
from raybayes.search.plan import Plan, make_plan
from raybayes.search.preview import preview_configurations
from raybayes.space import Choice, Space
from raybayes.spec.component import Component
from raybayes.spec.sweep_spec import SweepSpec, differences
from raybayes.spec.validation import build, nest
from raybayes.store.filesystem import open_storage
from raybayes.store.layout import Layout
from raybayes.store.probe import require_writable
from raybayes.sweeps.results import SweepResult
from raybayes.sweeps.warm_start import warm_start_of
from raybayes.training.own import OwnTraining

_DRAWS = 64  # of the first configurations, at most, are checked before a sweep starts


@dataclass(frozen=True)
class Prepared:
    """A spec that was checked against its project, ready to run or to be shown by --dry-run.

    Args:
        spec: with the fixed configuration in the project's types, and the objectives.
        project: what is trained.
        plan: the rules of the search.
        layout: where the sweep lies.
        roots: folders that hold projects, to be added in other processes.
        candidates: of a confirmation, the trials that it repeats.
        training: of a sweep that trains no project of the catalogue.
        reopened: failed trials that this burst runs again.
    """

    spec: SweepSpec
    project: Project
    plan: Plan
    layout: Layout
    roots: tuple[str, ...] = ()
    candidates: Sequence[Mapping[str, Any]] = ()
    training: OwnTraining | None = None
    reopened: tuple[int, ...] = ()


def prepare(spec: SweepSpec, layout: Layout | None = None, training: OwnTraining | None = None) -> Prepared:
    """Check everything that can be checked before anything starts. Writes nothing.

    Args:
        spec: what was asked for.
        layout: where an earlier burst of it lies; None: it is new, or named again.
        training: what is trained, if it is not in the catalogue.

    Raises:
        RaybayesError: the first thing that is wrong.
    """
    if training is None:
        selected = catalog.select(spec.project, spec.config, spec.space if spec.kind == "sweep" else None)
    else:
        searched = Space({}) if spec.kind == "train" else training.space
        selected = catalog.selection(training.project, spec.config, searched)
    project = selected.project
    if spec.fuse != "never":
        catalog.require_fusion(project)
    objective = spec.objective or (project.objective if spec.kind == "sweep" else ())
    space = selected.space.requiring(spec.require, selected.config)
    spec = spec.model_copy(update={"config": dict(selected.config), "objective": objective, "require": space.limits})
    spec = with_sampler(spec, space)
    plan = make_plan(spec, space, _metrics(project, spec), selected.defaults)
    # What an earlier burst has begun is resumed; whether enough of its space is possible is not checked again.
    points = _first_points(plan, min(_DRAWS, spec.trials) if layout is None else 1)
    attempts = [_attempt(project, {**spec.config, **point}) for point in points]
    _require_data(spec, selected, plan, attempts)
    if layout is None:
        _require_possible(spec, attempts)
    layout = layout or Layout(open_storage(spec.storage).child(spec.name))
    plan = replace(plan, warm_start=warm_start_of(spec, plan, layout, selected.defaults))
    return Prepared(spec, project, plan, layout, selected.roots, training=training)


def with_sampler(spec: SweepSpec, space: Space) -> SweepSpec:
    """The spec with the sampler that "auto" stands for: that of the sweep of this name, if there is one.

    Args:
        space: the declared space, with nothing fixed.
    """
    if spec.sampler.name != "auto":
        return spec
    layout = Layout(open_storage(spec.storage).child(spec.name))
    if layout.storage.exists(layout.spec):
        return spec.model_copy(update={"sampler": SweepResult(layout.storage.display).spec.sampler})
    if spec.scheduler.name == "pbt":  # which is the sampler too
        return spec.model_copy(update={"sampler": Component(name="random")})
    slots = spec.concurrency if isinstance(spec.concurrency, int) else None
    free, pruning = space.without(spec.config), spec.scheduler.name != "none"
    chosen = choose_sampler(spec.sampler, free, spec.trials, max(1, len(spec.objective)), slots, pruning)
    return spec.model_copy(update={"sampler": chosen})


def prepare_start(spec: SweepSpec, training: OwnTraining | None = None) -> Prepared:
    """Prepare a new sweep, or the same one named again.

    Raises:
        SpecError: a sweep of that name exists and is another one, key by key; or it is a finished run.
        RaybayesError: as `prepare`.
    """
    prepared = prepare(spec, training=training)
    _require_same_sweep(prepared)
    return prepared


def prepare_resume(spec: SweepSpec, found: SweepResult, training: OwnTraining | None = None) -> Prepared:
    """Prepare what is left of a sweep.

    Raises:
        SpecError: its search space has changed.
        RaybayesError: as `prepare`.
    """
    prepared = prepare(spec, Layout(found.layout.storage), training)
    _require_same_space(found, prepared.plan.space)
    found.require_whole()
    return prepared


def _metrics(project: Project, spec: SweepSpec) -> Sequence[Metric]:
    """What the project declares; of one that may report anything, also what the constraints name."""
    declared = {metric.name for metric in project.metrics}
    other = [name for name in spec.constraints if project.open_metrics and name not in declared]
    return (*project.metrics, *(Metric(name, "minimize", every_report=False) for name in other))


@dataclass(frozen=True)
class _Attempt:
    """A configuration that a trial may have: its values by dotted names, and the project's Config or its refusal."""

    values: Mapping[str, Any]
    config: BaseModel | None
    refusal: str = ""


def _attempt(project: Project, values: Mapping[str, Any]) -> _Attempt:
    try:
        return _Attempt(values, build(project.Config, nest(values), f"{project.name} config"))
    except SpecError as error:
        return _Attempt(values, None, str(error))


def _first_points(plan: Plan, most: int) -> Sequence[Mapping[str, Any]]:
    """What the first trials vary; nothing, once, where there is no space."""
    return (
        preview_configurations(plan, most if plan.grid is None else min(most, len(plan.grid))) if plan.space else [{}]
    )


def _require_data(spec: SweepSpec, selected: catalog.Selection, plan: Plan, attempts: Sequence[_Attempt]) -> None:
    """Look for the data set, and let the project look at what the configuration names, before anything starts.

    A project's data set is its config field `dataset`, by convention. What trials vary is as in the first of them that
    can run.
    """
    project = selected.project
    if "dataset" in plan.space:
        searched = plan.space["dataset"]
        names = list(searched.values) if isinstance(searched, Choice) else []
    else:
        names = [selected.defaults.get("dataset")]
    for name in names:
        if isinstance(name, str) and name not in project.generated_datasets:
            data.origin(name, spec.data)
        if project.check is None:
            continue
        configs = (_with_dataset(project, attempt, name).config for attempt in attempts)
        if (first := next((config for config in configs if config is not None), None)) is not None:
            project.check(first, lambda wanted: data.load(wanted, spec.data))


def _with_dataset(project: Project, attempt: _Attempt, name: Any) -> _Attempt:
    """The same configuration on another data set; itself if it has that one already."""
    if name is None or (attempt.config is not None and getattr(attempt.config, "dataset", None) == name):
        return attempt
    return _attempt(project, {**attempt.values, "dataset": name})


def _require_possible(spec: SweepSpec, attempts: Sequence[_Attempt]) -> None:
    """SpecError if so many configurations of the space are incompatible with the fixed values that most would fail."""
    refusals = [attempt.refusal for attempt in attempts if attempt.config is None]
    if len(refusals) > spec.max_failed_fraction * len(attempts):
        raise SpecError(
            f"space {spec.space}: {len(refusals)} of the first {len(attempts)} sampled configurations are incompatible "
            f"with the fixed values, for example: {refusals[0]} Narrow the space with -s NAME=VALUE, fix less, or use "
            "another --space."
        )


def _require_same_sweep(prepared: Prepared) -> None:
    """SpecError if another sweep has that name, or a finished run; StoreError if the storage cannot be written to."""
    layout, spec = prepared.layout, prepared.spec
    if not layout.storage.exists(layout.spec):
        require_writable(open_storage(spec.storage))
        return
    found = SweepResult(layout.storage.display)
    if changed := differences(found.spec, spec):
        joined = "\n  ".join(changed)
        raise SpecError(
            f"{found.path} already exists and is another {found.spec.kind}:\n  {joined}\nChoose another --name, or "
            f"resume the old one: raybayes resume {found.path}."
        )
    if found.spec.kind == "train" and "COMPLETE" in found.trials["state"].to_pylist():
        raise SpecError(f"{found.path} is finished; choose another --name to train again.")
    _require_same_space(found, prepared.plan.space)
    found.require_whole()


def _require_same_space(found: SweepResult, space: Space) -> None:
    """SpecError with the differences if a sweep's space has changed since its last burst."""
    if found.space != space:
        shown = "; ".join(found.space.differences(space))
        raise SpecError(
            f"{found.path}: the search space has changed since its last burst: {shown}. Restore it, or start a new "
            "sweep."
        )
