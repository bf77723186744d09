"""Follows a sweep while it runs: each look reads only what is new, from its folder alone."""

from __future__ import annotations

import json
import socket
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from raybayes.clock import WALL, Clock
from raybayes.errors import StoreError
from raybayes.reporting.terminal.view import ActiveBurst, View
from raybayes.search.study.study import Study
from raybayes.search.study.trials_table import trials_table
from raybayes.store.lock import BurstLock
from raybayes.store.logs.report_tail import ReportTail
from raybayes.sweeps.results import SweepResult

COPY_EVERY_S = 10.0  # an object store's journal is fetched whole, so not at each look


class LiveSweep:
    """A sweep or run, running or not, followed through interruptions and restarts. It never writes.

    Args:
        path: its folder or URI.

    Raises:
        StoreError: there is no sweep.
    """

    def __init__(self, path: str, clock: Clock = WALL) -> None:
        self._path, self._clock = path, clock
        layout = SweepResult(path).layout
        self._reports, self._lock = ReportTail(layout), BurstLock(layout, clock)
        self._curves: dict[tuple[int, int], dict[int, float]] = defaultdict(dict)
        self._steps: dict[tuple[int, int], int] = {}
        self._study: Study | None = None
        self._copied = -COPY_EVERY_S

    def look(self) -> View:
        """The sweep now.

        Raises:
            StoreError: the storage cannot be read at the moment; look again later.
        """
        sweep = SweepResult(self._path)  # reread: a later burst may want more trials
        objective = sweep.objectives[0].name
        for _, row in self._reports.read_new():
            key = row["trial"], row["repeat"]
            self._steps[key] = row["step"]
            if objective in row:
                self._curves[key][row["step"]] = row[objective]
        study = self._opened(sweep)
        wanted = sweep.spec.trials
        if sweep.spec.sampler.name == "grid":
            wanted = min(wanted, len(sweep.space.grid()))
        return View(
            name=sweep.layout.name,
            path=sweep.path,
            project=sweep.spec.project,
            fidelity=sweep.document["fidelity"],
            objectives=sweep.objectives,
            wanted=wanted,
            trials=trials_table(study.records(), sweep.space, sweep.objectives),
            curves={key: [value for _, value in sorted(curve.items())] for key, curve in self._curves.items()},
            steps=dict(self._steps),
            now=self._clock.now(),
            active_burst=self._active_burst(sweep),
            usage=_usage(sweep),
        )

    def _opened(self, sweep: SweepResult) -> Study:
        """The study, opened once: its later reads take in only new lines of the journal."""
        if not sweep.layout.storage.local:
            now = self._clock.elapsed()
            if self._study is None or now - self._copied >= COPY_EVERY_S:
                self._study, self._copied = sweep.open_study(), now
        elif self._study is None or not self._study.has_trials:
            self._study = sweep.open_study()
        return self._study

    def _active_burst(self, sweep: SweepResult) -> ActiveBurst | None:
        holder = self._lock.find_living()
        if holder is None:
            return None
        silent = self._lock.silence(holder)
        if holder.host == socket.gethostname() and "time" in (
            usage := _usage(sweep)
        ):  # else by another clock than ours
            silent = min(silent, max(0.0, self._clock.now() - usage["time"]))
        return ActiveBurst(holder.host, holder.pid, silent)


def _usage(sweep: SweepResult) -> Mapping[str, Any]:
    try:
        found: Mapping[str, Any] = json.loads(sweep.layout.storage.read_bytes(sweep.layout.usage))
    except (StoreError, ValueError):  # no burst writes it now
        return {}
    return found
