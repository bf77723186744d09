"""Finds earlier sweeps that know something about a new one: the same project, space and objectives."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from raybayes.errors import SpecError, StoreError
from raybayes.search.mapping import map_records
from raybayes.search.outcomes.records import TrialRecord
from raybayes.search.plan import Plan
from raybayes.search.warm_start import MAX_FIRST_CONFIGURATIONS, EarlierSweep, WarmStart, build_warm_start
from raybayes.spec.sweep_spec import SweepSpec
from raybayes.store.filesystem import open_storage
from raybayes.store.layout import Layout
from raybayes.sweeps.results import SweepResult


def warm_start_of(spec: SweepSpec, plan: Plan, layout: Layout, defaults: Mapping[str, Any]) -> WarmStart:
    """What the sweep starts from: what it wrote down at its first start, else what `warm_start` finds now.

    A named sweep may have another space: its trials are mapped (`raybayes.search.mapping`), and `remark` says how.

    Args:
        defaults: the project's default configuration, for parameters that an earlier sweep did not have.

    Raises:
        SpecError: the sweep named by `warm_start` is another project's, has other objectives, no parameter in common
            or no finished trial. "auto" passes such sweeps over, and those of another space.
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
    known: list[EarlierSweep] = []
    remarks: list[str] = []
    for sweep in sources:
        mapped = map_records(_finished(sweep), sweep.space, plan.space, defaults)
        known.append(EarlierSweep(sweep.path, sweep.spec.config == spec.config, mapped.records, mapped.changed))
        remarks += [f"of {sweep.path}, {mapped.remark}"] if mapped.remark else []
    most = min(MAX_FIRST_CONFIGURATIONS, max(1, spec.trials // 3))
    made = build_warm_start(known, plan.space, plan.objectives, plan.first, most)
    return replace(made, remark="; ".join(remarks))


def _finished(sweep: SweepResult) -> list[TrialRecord]:
    """Its trials that say something: those with a result, and those that failed by their configuration."""
    return [r for r in sweep.records if r.values is not None or (r.cause is not None and r.cause.certain)]


def _named(path: str, spec: SweepSpec, plan: Plan) -> SweepResult:
    found = SweepResult(path)
    if problem := foreign(found, spec, plan, same_space=False):
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
                if foreign(found, spec, plan, same_space=True) is None and not _unfinished(found):
                    sweeps.append(found)
            except (StoreError, SpecError):  # of another version, or damaged: not what was asked for
                continue
    return sweeps


def _unfinished(found: SweepResult) -> bool:
    return any(not record.state.final for record in found.records)


def foreign(found: SweepResult, spec: SweepSpec, plan: Plan, same_space: bool) -> str | None:
    """Why a sweep cannot inform a new one, or None if it can.

    Args:
        same_space: whether its space must be the same.
    """
    if found.spec.kind != spec.kind:
        return f"it is a {found.spec.kind}, this one is a {spec.kind}"
    named_own = not same_space and found.spec.training is not None and spec.training is not None
    if found.spec.kind == "sweep" and found.spec.project != spec.project and not named_own:
        return f"it searched {found.spec.project}, this one searches {spec.project}"
    if found.space != plan.space and same_space:
        return f"its space differs: {'; '.join(found.space.differences(plan.space))}"
    if plan.space and not any(name in found.space for name in plan.space):
        return f"it has none of the parameters {', '.join(plan.space)}; it searched {', '.join(found.space)}"
    if found.objectives != plan.objectives:
        there = ", ".join(f"{o.direction} {o.name}" for o in found.objectives)
        here = ", ".join(f"{o.direction} {o.name}" for o in plan.objectives)
        return f"its objective differs: {there} there, {here} here"
    if not any(record.values is not None and record.feasible for record in found.records):
        return "it has no complete trial" if not found.spec.constraints else "it has no complete, feasible trial"
    return None
