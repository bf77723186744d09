"""`--dry-run`: prints the plan of a sweep, and refuses what the machines can never provide."""

from __future__ import annotations

import os

from raybayes.cli.printing import console, plain_table, print_json
from raybayes.engine.on_ray.connect import connect, count_slots, require_fit, this_machine
from raybayes.search.preview import preview_configurations
from raybayes.spec.sweep_spec import SweepSpec
from raybayes.sweeps.estimate import describe_estimate
from raybayes.sweeps.preparation import prepare
from raybayes.training.own import OwnTraining


def print_plan(spec: SweepSpec, as_json: bool, training: OwnTraining | None = None) -> None:
    """Print trials, resources per trial, trials at once, the first five configurations. Starts and writes nothing."""
    prepared = prepare(spec, training=training)
    need = prepared.spec.resources
    if os.environ.get("RAY_ADDRESS"):
        with connect(need) as cluster:
            room = count_slots(cluster.nodes, need)
    else:
        room = require_fit(this_machine(), need)
    at_once = room if spec.concurrency == "auto" else min(room, spec.concurrency or room)
    first = preview_configurations(prepared.plan, min(5, spec.trials))
    facts = {
        "sweep": prepared.layout.storage.display,
        "trials": spec.trials if prepared.plan.grid is None else min(spec.trials, len(prepared.plan.grid)),
        "repeats": spec.repeats,
        "resources per trial": f"{need.workers} x ({need.cpus_per_worker:g} CPU + {need.gpus_per_worker:g} GPU)",
        "at once": at_once,
        "sampler": str(prepared.spec.sampler),
        "scheduler": str(spec.scheduler),
        "objective": ", ".join(f"{o.direction} {o.name}" for o in prepared.plan.objectives),
        **({} if spec.stop_when == "none" else {"stop when": spec.stop_when}),
        **describe_estimate(prepared, at_once),
    }
    if as_json:
        print_json({**facts, "first": first, "remark": prepared.plan.remark})
        return
    out = console()
    for name, value in facts.items():
        out.print(f"{name:>18}  {value}", markup=False)
    for note in filter(None, (prepared.plan.remark, prepared.plan.repeating)):
        out.print(f"{'note':>18}  {note}", markup=False)
    if prepared.plan.warm_start.remark:
        out.print(f"{'warm start':>18}  {prepared.plan.warm_start.remark}", markup=False)
    out.print("\nfirst configurations, sampled before any result:", markup=False)
    table = plain_table("trial", "configuration")
    for number, params in enumerate(first):
        table.add_row(
            str(number), ", ".join(f"{k}={v:.4g}" if isinstance(v, float) else f"{k}={v}" for k, v in params.items())
        )
    out.print(table, markup=False)
    out.print("dry run: nothing was started or written", markup=False)
