"""Repeats the best configurations of a sweep over fresh seeds, in a race; the winner is chosen by mean.

A confirmation is a sweep of its own below the sweep's folder (`confirm-1`, `confirm-2`, ...): its trials are the
candidates, their repeats the seeds. It runs, stops and resumes as every sweep does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from raybayes.errors import SpecError, StoreError
from raybayes.search.outcomes.confirm import Race, choose_candidates
from raybayes.search.progress import Progress, Watch
from raybayes.seeds import derive
from raybayes.spec.component import Component
from raybayes.spec.sweep_spec import SweepSpec
from raybayes.spec.validation import build
from raybayes.store.layout import Layout
from raybayes.store.lock import BurstLock
from raybayes.sweeps.execution import Executor, run
from raybayes.sweeps.preparation import Prepared, prepare
from raybayes.sweeps.results import SweepResult
from raybayes.training.own import OwnTraining


def confirm(
    found: SweepResult,
    top: int,
    repeats: int,
    changes: Mapping[str, Any],
    executor: Executor,
    watch: Watch,
    until: float | None = None,
    training: OwnTraining | None = None,
) -> None:
    """Repeat the best `top` configurations of a sweep over up to `repeats` fresh seeds each.

    Clear losers stop early (`search.outcomes.confirm.Race`). An interrupted confirmation is resumed; one that
    was done with the same candidates and seeds is not repeated.

    Args:
        found: the sweep.
        top: candidates.
        repeats: fresh seeds per candidate.
        changes: options that differ from the sweep's.
        executor, watch, until: as in `raybayes.sweeps.execution.run`.
        training: what is trained, if it is not in the catalogue.

    Raises:
        SpecError: fewer than one candidate or two seeds; another confirmation of the sweep is unfinished.
        StoreError: the sweep has no finished trial that satisfies its constraints, or a burst still works on it.
    """
    if found.spec.kind != "sweep":
        raise SpecError(f"{found.path} is a {found.spec.kind}; only a sweep has candidates to confirm.")
    if top < 1 or repeats < 2:
        raise SpecError(f"confirm: found top {top} and repeats {repeats}; a mean with an error needs top 1, repeats 2.")
    chosen = choose_candidates(found.records, found.objectives, top)
    if not chosen:
        raise StoreError(f"{found.path}: nothing to confirm. {found.best_summary}")
    BurstLock(found.layout).require_free()  # its best trials may still change
    stage, number = _stage(found, [record.number for record in chosen], repeats)
    if stage is None or not _finished(stage):
        prepared = _prepared(found, number, [(r.number, r.params) for r in chosen], repeats, changes, training)
        run(prepared, executor, _renumbered(watch, [record.number for record in chosen]), until)


def resume_stage(
    stage: SweepResult,
    changes: Mapping[str, Any],
    executor: Executor,
    watch: Watch,
    until: float | None,
    training: OwnTraining | None = None,
) -> str:
    """Finish an interrupted confirmation, as `raybayes resume` does; returns the path of the sweep it belongs to."""
    stage.require_whole()
    parent = SweepResult(stage.path.rpartition("/")[0])
    pairs = [(entry["trial"], entry["config"]) for entry in stage.document["candidates"]]
    number = int(stage.path.rpartition("-")[2])
    shown = _renumbered(watch, [trial for trial, _ in pairs])
    prepared = _prepared(parent, number, pairs, stage.spec.repeats, changes, training)
    run(prepared, executor, shown, until)
    return parent.path


def _renumbered(watch: Watch, origins: Sequence[int]) -> Watch:
    """Show a confirmation's trials under the numbers that they have in the sweep."""

    def renumbered(progress: Progress) -> None:
        running = tuple(replace(one, trial=origins[one.trial]) for one in progress.running)
        ended = tuple(replace(one, trial=origins[one.trial]) for one in progress.ended)
        best = None if progress.best is None else (origins[progress.best[0]], progress.best[1])
        watch(replace(progress, running=running, ended=ended, best=best))

    return renumbered


def _stage(found: SweepResult, origins: list[int], repeats: int) -> tuple[SweepResult | None, int]:
    """The confirmation to resume (or that is finished already), and the number to use."""
    stages = found.stages
    last = stages[-1] if stages else None
    if last is not None:
        same = last.spec.repeats == repeats and [c["trial"] for c in last.document["candidates"]] == origins
        if same:
            return last, len(stages)
        if not _finished(last):
            raise SpecError(
                f"{last.path} is unfinished and has other candidates or seeds ({last.spec.trials} x "
                f"{last.spec.repeats}); finish it first: raybayes resume {last.path}."
            )
    return None, len(stages) + 1


def _finished(stage: SweepResult) -> bool:
    states = stage.trials["state"].to_pylist()
    return len(states) == stage.spec.trials and not {"RUNNING", "PAUSED"} & set(states)


def _prepared(
    found: SweepResult,
    number: int,
    pairs: list[tuple[int, dict[str, Any]]],
    repeats: int,
    changes: Mapping[str, Any],
    training: OwnTraining | None,
) -> Prepared:
    layout = Layout(found.layout.storage.child(found.layout.confirmation(number)))
    spec = stage_spec(found, number, len(pairs), repeats, changes)
    return as_stage(prepare(spec, layout, training), pairs)


def stage_spec(found: SweepResult, number: int, count: int, repeats: int, changes: Mapping[str, Any]) -> SweepSpec:
    """The spec of confirmation `number` of a sweep: `count` candidates over up to `repeats` seeds."""
    spec = found.spec
    values = {
        **spec.model_dump(),
        "kind": "confirm",
        "trials": count,
        "repeats": repeats,
        "sampler": Component(name="random"),
        "scheduler": Component(name="none"),
        "storage": found.path,
        "name": found.layout.confirmation(number),
        "seed": derive(spec.seed, "confirm", number),  # differs from the seeds of the search and of other confirmations
        "fixed_params": {},
        "warm_start": "none",
        "confirm": None,
        "time_budget": None,
        "stop_when": "none",
        "budget": None,
        "keep_checkpoints": 0,
        **changes,
    }
    return build(SweepSpec, values, f"confirm {found.path}")


def as_stage(prepared: Prepared, pairs: Sequence[tuple[int, dict[str, Any]]]) -> Prepared:
    """A prepared sweep as the race of these candidates: (trial, configuration) each."""
    plan = replace(prepared.plan, grid=tuple(params for _, params in pairs), first=None, race=Race())
    return replace(prepared, plan=plan, candidates=[{"trial": trial, "config": params} for trial, params in pairs])
