"""A sweep's numbers as Ray metrics, for every node's Prometheus endpoint and Ray's own Grafana boards.

Prometheus sees each name with "ray_" in front. docs/watching.md lists them, docs/grafana-board.json draws them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from ray.util.metrics import Counter, Gauge

from raybayes.search.progress import Progress
from raybayes.store.logs.reports import FIXED, Row

# name -> (description, labels)
GAUGES = {
    "raybayes_trials": ("Trials of the sweep in a state.", ("sweep", "state")),
    "raybayes_trials_wanted": ("Trials that the sweep is to have.", ("sweep",)),
    "raybayes_best": ("The best value of the first objective so far.", ("sweep", "metric")),
    "raybayes_metric": ("The newest value of a metric in a trial.", ("sweep", "trial", "repeat", "metric")),
    "raybayes_step": ("The newest step of a trial.", ("sweep", "trial", "repeat")),
}
REPORTS = "raybayes_reports"  # Prometheus: ray_raybayes_reports_total
STATES = ("COMPLETE", "PRUNED", "FAIL", "RUNNING", "PAUSED")


class RayMetrics:
    """The exporter of one sweep; lives in its driver.

    Args:
        sweep: the sweep's name, the label that distinguishes it from others on the cluster.
        objective: the first objective.
        gauge, counter: make a metric of a name, a description and labels.
    """

    def __init__(
        self, sweep: str, objective: str, gauge: type[Gauge] = Gauge, counter: type[Counter] = Counter
    ) -> None:
        self._sweep, self._objective = sweep, objective
        self._gauges = {name: gauge(name, doc, labels) for name, (doc, labels) in GAUGES.items()}
        self._reports = counter(REPORTS, "Reports of all trials of the sweep.", ("sweep",))

    def on_reports(self, rows: Sequence[Row]) -> None:
        """Export new reports; of several of one trial the last one counts."""
        for row in rows:
            labels = {"sweep": self._sweep, "trial": str(row["trial"]), "repeat": str(row["repeat"])}
            self._gauges["raybayes_step"].set(row["step"], labels)
            for name, value in row.items():
                if name not in FIXED.names and value is not None and math.isfinite(value):
                    self._gauges["raybayes_metric"].set(value, {**labels, "metric": name})
        if rows:
            self._reports.inc(len(rows), {"sweep": self._sweep})

    def on_progress(self, progress: Progress) -> None:
        """Export the state of the burst."""
        sweep = {"sweep": self._sweep}
        counts = {**progress.states, "RUNNING": len({run.trial for run in progress.running}), "PAUSED": 0}
        if progress.stopping:
            counts["PAUSED"] = progress.paused
        for state in STATES:
            self._gauges["raybayes_trials"].set(counts.get(state, 0), {**sweep, "state": state})
        self._gauges["raybayes_trials_wanted"].set(progress.wanted, sweep)
        if progress.best is not None:
            self._gauges["raybayes_best"].set(progress.best[1], {**sweep, "metric": self._objective})
