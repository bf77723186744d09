"""Finds earlier sweeps that know something about a new one: the same project, space and objectives."""

from __future__ import annotations

from raybayes.errors import SpecError, StoreError
from raybayes.search.plan import Plan
from raybayes.search.warm_start import MAX_FIRST_CONFIGURATIONS, EarlierSweep, WarmStart, build_warm_start
from raybayes.spec.sweep_spec import SweepSpec
from raybayes.store.filesystem import open_storage
from raybayes.store.layout import Layout
from raybayes.sweeps.results import SweepResult


def warm_start_of(spec: SweepSpec, plan: Plan, layout: Layout) -> WarmStart:
    """What the sweep starts from: what it wrote down at its first start, else what `warm_start` finds now.

    Raises:
        SpecError: the sweep named by `warm_start` is another project's, has another space or other objectives, or has
            no finished trial. "auto" passes such sweeps over.
        StoreError: there is no sweep, or the notes of the first start are broken.
    """
    if layout.storage.exists(layout.warm_start):
        try:
            return WarmStart.from_json(layout.storage.read_bytes(layout.warm_start))
        except (ValueError, KeyError, TypeError) as error:
            shown = layout.storage.display_path(layout.warm_start)
            raise StoreError(f"{shown}: this file is damaged ({error!r}); restore it from a backup.") from None
    if spec.warm_start == "none":
        return WarmStart()
    if spec.sampler.name == "grid":
        raise SpecError(
            "sampler grid tries every point in a fixed order; drop --warm-start, or choose another sampler."
        )
    if spec.scheduler.name == "pbt":
        raise SpecError(
            "scheduler pbt starts from a random population; drop --warm-start, or choose another scheduler."
        )
    if spec.warm_start == "auto":
        sources = _all(spec, plan, layout)
    else:
        sources = [_named(path.strip(), spec, plan) for path in spec.warm_start.split(",")]
    known = [EarlierSweep(sweep.path, sweep.spec.config == spec.config, sweep.records) for sweep in sources]
    return build_warm_start(
        known, plan.space, plan.objectives, plan.first, most=min(MAX_FIRST_CONFIGURATIONS, max(1, spec.trials // 3))
    )


def _named(path: str, spec: SweepSpec, plan: Plan) -> SweepResult:
    found = SweepResult(path)
    if problem := foreign(found, spec, plan):
        raise SpecError(f"warm start from {found.path}: {problem}; name another sweep, or use --warm-start none.")
    return found


def _all(spec: SweepSpec, plan: Plan, layout: Layout) -> list[SweepResult]:
    """Sweeps of the storage that have ended and are not foreign, by name."""
    storage = open_storage(spec.storage)
    sweeps = []
    for name in storage.list():
        if name != layout.name and storage.exists(f"{name}/{layout.spec}"):
            try:
                found = SweepResult(storage.display_path(name))
                if foreign(found, spec, plan) is None and not _unfinished(found):
                    sweeps.append(found)
            except (StoreError, SpecError):  # of another version, or damaged: not what was asked for
                continue
    return sweeps


def _unfinished(found: SweepResult) -> bool:
    return any(not record.state.final for record in found.records)


def foreign(found: SweepResult, spec: SweepSpec, plan: Plan) -> str | None:
    """Why a sweep cannot inform a new one, or None if it can."""
    if found.spec.kind != spec.kind:
        return f"it is a {found.spec.kind}, this one is a {spec.kind}"
    if found.spec.kind == "sweep" and found.spec.project != spec.project:
        return f"it searched {found.spec.project}, this one searches {spec.project}"
    if found.space != plan.space:
        return f"its space differs: {'; '.join(found.space.differences(plan.space))}"
    if found.objectives != plan.objectives:
        there = ", ".join(f"{o.direction} {o.name}" for o in found.objectives)
        here = ", ".join(f"{o.direction} {o.name}" for o in plan.objectives)
        return f"its objective differs: {there} there, {here} here"
    if not any(record.values is not None and record.feasible for record in found.records):
        return "it has no complete trial" if not found.spec.constraints else "it has no complete, feasible trial"
    return None
