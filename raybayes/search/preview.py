"""The configurations that a sweep would begin with, drawn on a study in memory."""

from __future__ import annotations

import tempfile
from pathlib import Path

from raybayes.search.plan import Plan
from raybayes.search.study.study import Study
from raybayes.space import Value


def preview(plan: Plan, count: int) -> list[dict[str, Value]]:
    """The first `count` configurations, as the sampler gives them before any of them has a result."""
    with tempfile.TemporaryDirectory() as folder:  # never flushed, so the file stays empty
        study = Study(str(Path(folder) / "study.journal"), plan.space, plan.objectives, past=plan.prior.past)
        return [study.ask(plan.factory, plan.given(number))[1] for number in range(count)]
