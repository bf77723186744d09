"""`rb.confirm`: the best configurations of a sweep again, over fresh seeds, in a race; the winner is chosen by mean.

A confirmation is a sweep of its own below the sweep's folder (`confirm-1`, `confirm-2`, ...): its trials are the
candidates, their repeats the seeds. It runs, stops and goes on as every sweep does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Unpack

from raybayes.errors import SpecError, StoreError
from raybayes.search.confirm import Race, candidates
from raybayes.search.progress import Progress
from raybayes.seeds import derive
from raybayes.spec.component import Component
from raybayes.spec.options import Path
from raybayes.spec.signatures import ConfirmOptions, takes
from raybayes.spec.sweep_spec import SweepSpec
from raybayes.spec.validation import build
from raybayes.store.layout import Layout
from raybayes.store.lock import BurstLock
from raybayes.sweeps.execution import Executor, Watch, deadline, run, silent
from raybayes.sweeps.preparation import Prepared, prepare
from raybayes.sweeps.results import Sweep


@takes("confirm")
def confirm(
    path: Path, top: int = 5, repeats: int = 5, *, watch: Watch = silent, **options: Unpack[ConfirmOptions]
) -> Sweep:
    """Repeat the best `top` configurations of a sweep over up to `repeats` fresh seeds each.

    Clear losers stop early (`raybayes.search.confirm.Race`). A confirmation that was interrupted goes on; one that
    was done with the same candidates and seeds is not done again.

    Args:
        path: the sweep's folder or URI.
        top: candidates.
        repeats: fresh seeds per candidate.
        watch: called with the progress, about twice a second.
        options: what differs from the sweep. See below.

    Returns:
        The sweep, whose `best`, `trials` and `best_summary` now rest on the means over the fresh seeds.

    Raises:
        SpecError: fewer than one candidate or two seeds; another confirmation of the sweep is unfinished.
        StoreError: the sweep has no finished trial that satisfies its constraints, or a burst still works on it.
    """
    changes: dict[str, Any] = dict(options)
    executor: Executor = changes.pop("executor", "ray")
    until, found = deadline(changes.pop("walltime", None)), Sweep(path)
    if found.spec.kind != "sweep":
        raise SpecError(f"{found.path} is a {found.spec.kind}, and only a sweep has candidates to confirm.")
    if top < 1 or repeats < 2:
        raise SpecError(f"confirm: found top {top}, repeats {repeats}; a mean with an error needs 1 and 2 or more.")
    chosen = candidates(found._records, found.objectives, top)
    if not chosen:
        raise StoreError(f"{found.path}: there is nothing to confirm: {found.best_summary}")
    BurstLock(found.layout).refuse_living()  # its best trials may still change
    stage, number = _stage(found, [record.number for record in chosen], repeats)
    if stage is None or not _over(stage):
        prepared = _prepared(found, number, [(r.number, r.params) for r in chosen], repeats, changes)
        run(prepared, executor, _renumbered(watch, [record.number for record in chosen]), until)
    return Sweep(path)


def go_on(stage: Sweep, executor: Executor, watch: Watch, until: float | None, changes: Mapping[str, Any]) -> Sweep:
    """Finish an interrupted confirmation, as `raybayes resume` does."""
    parent = Sweep(stage.path.rpartition("/")[0])
    pairs = [(entry["trial"], entry["config"]) for entry in stage.document["candidates"]]
    number = int(stage.path.rpartition("-")[2])
    shown = _renumbered(watch, [trial for trial, _ in pairs])
    run(_prepared(parent, number, pairs, stage.spec.repeats, changes), executor, shown, until)
    return Sweep(parent.path)


def _renumbered(watch: Watch, origins: Sequence[int]) -> Watch:
    """Show a confirmation's trials under the numbers that they have in the sweep."""

    def told(progress: Progress) -> None:
        running = tuple(replace(one, trial=origins[one.trial]) for one in progress.running)
        ended = tuple(replace(one, trial=origins[one.trial]) for one in progress.ended)
        best = None if progress.best is None else (origins[progress.best[0]], progress.best[1])
        watch(replace(progress, running=running, ended=ended, best=best))

    return told


def _stage(found: Sweep, origins: list[int], repeats: int) -> tuple[Sweep | None, int]:
    """The confirmation to go on with (or that is done already), and the number to use."""
    stages = found.stages
    last = stages[-1] if stages else None
    if last is not None:
        same = last.spec.repeats == repeats and [c["trial"] for c in last.document["candidates"]] == origins
        if same:
            return last, len(stages)
        if not _over(last):
            raise SpecError(
                f"{last.path} is unfinished and has other candidates or seeds ({last.spec.trials} x "
                f"{last.spec.repeats}); finish it first: raybayes resume {last.path}."
            )
    return None, len(stages) + 1


def _over(stage: Sweep) -> bool:
    states = stage.trials["state"].to_pylist()
    return len(states) == stage.spec.trials and not {"RUNNING", "PAUSED"} & set(states)


def _prepared(
    found: Sweep, number: int, pairs: list[tuple[int, dict[str, Any]]], repeats: int, changes: Mapping[str, Any]
) -> Prepared:
    layout = Layout(found.layout.storage.child(found.layout.confirmation(number)))
    return as_stage(prepare(stage_spec(found, number, len(pairs), repeats, changes), layout), pairs)


def stage_spec(found: Sweep, number: int, count: int, repeats: int, changes: Mapping[str, Any]) -> SweepSpec:
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
        "seed": derive(spec.seed, "confirm", number),  # no seed of the search, none of another confirmation
        "fixed_params": {},
        "warm_start": "none",
        "confirm": None,
        "time_budget": None,
        "keep_checkpoints": 0,
        **changes,
    }
    return build(SweepSpec, values, f"confirm {found.path}")


def as_stage(prepared: Prepared, pairs: Sequence[tuple[int, dict[str, Any]]]) -> Prepared:
    """A prepared sweep as the race of these candidates: (trial, configuration) each."""
    plan = replace(prepared.plan, grid=tuple(params for _, params in pairs), first=None, race=Race())
    return replace(prepared, plan=plan, candidates=[{"trial": trial, "config": params} for trial, params in pairs])
