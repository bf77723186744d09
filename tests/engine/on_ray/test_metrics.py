"""A sweep's numbers as Ray metrics."""

import json
import re
from pathlib import Path

from raybayes.engine.on_ray.metrics import GAUGES, REPORTS, RayMetrics
from raybayes.search.progress import Progress, Running


def report(step):
    return {"trial": 0, "repeat": 0, "attempt": 1, "seconds": 1.0, "time": 1.7e9, "node": "n", "step": step,
            "loss": 1.0 / step}  # fmt: skip


def test_the_grafana_board_draws_metrics_that_there_are():
    docs = Path(__file__).parents[3] / "docs"
    ours = {f"ray_{name}" for name in GAUGES} | {f"ray_{REPORTS}_total"}
    drawn = set(re.findall(r"ray_raybayes_\w+", (docs / "grafana-board.json").read_text()))
    listed = set(re.findall(r"ray_raybayes_\w+", (docs / "watching.md").read_text()))
    assert drawn == ours
    assert listed == ours
    assert len(json.loads((docs / "grafana-board.json").read_text())["panels"]) == 8


class Recorded:
    """In the place of a Ray metric: what was set, by labels."""

    def __init__(self, name, doc, labels):
        self.labels, self.values = labels, {}

    def set(self, value, tags):
        assert set(tags) == set(self.labels)
        self.values[tuple(tags.values())] = value

    def inc(self, value, tags):
        self.set(self.values.get(tuple(tags.values()), 0) + value, tags)


def test_metrics_for_ray_carry_their_labels():
    exporter = RayMetrics("s", "loss", Recorded, Recorded)
    exporter.on_reports([report(1), report(2), {**report(3), "loss": float("nan")}])
    running = (Running(4, 0, 1, None), Running(4, 1, 1, None))
    exporter.on_progress(Progress(10, {"COMPLETE": 3}, running, best=(2, 0.25)))
    gauges = exporter._gauges
    assert gauges["raybayes_metric"].values == {("s", "0", "0", "loss"): 0.5}  # NaN is not a number to draw
    assert gauges["raybayes_step"].values == {("s", "0", "0"): 3}
    assert exporter._reports.values == {("s",): 3}
    states = {state: n for (_, state), n in gauges["raybayes_trials"].values.items()}
    assert states == {"COMPLETE": 3, "PRUNED": 0, "FAIL": 0, "RUNNING": 1, "PAUSED": 0}
    assert gauges["raybayes_trials_wanted"].values == {("s",): 10}
    assert gauges["raybayes_best"].values == {("s", "loss"): 0.25}
