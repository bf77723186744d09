"""Draws the first configurations of a sweep, on a study in memory."""

from __future__ import annotations

import copy
import tempfile
from pathlib import Path

from raybayes.search.plan import Plan
from raybayes.search.study.study import Study
from raybayes.space import Value


def preview_configurations(plan: Plan, count: int) -> list[dict[str, Value]]:
    """The first `count` configurations, as the sampler draws them before any trial has a result."""
    with tempfile.TemporaryDirectory() as folder:  # never flushed, so the file stays empty
        study = Study(str(Path(folder) / "study.journal"), plan.space, plan.objectives, past=plan.warm_start.past)
        factory = copy.deepcopy(plan.factory)  # a sampler object must not have drawn anything when the sweep begins
        return [study.ask(factory, plan.required_values(number))[1] for number in range(count)]
