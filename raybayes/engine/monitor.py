"""What a burst publishes while it runs, beside its results: event files, use of the machines, metrics for Ray.

A thread of the driver does it every few seconds from what is stored already, so no report waits for it, and nothing
that fails here can harm the sweep.
"""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any

from raybayes.errors import StoreError
from raybayes.store.layout import Layout
from raybayes.store.logs.reports import Row, next_burst_number
from raybayes.store.trials import read_trials

if TYPE_CHECKING:
    from raybayes.store.logs.tensorboard_events import EventFiles

EVERY_S = 5.0
_LOG = logging.getLogger("raybayes.engine")


class Monitor:
    """Works while the burst does; a context manager to leave after the burst has closed its tables.

    Args:
        layout: the sweep's paths.
        objectives: names of the sweep's objectives.
        measure_usage: returns how much of the machines is in use, as a JSON document; None: it is not published.
        on_reports: gets the new reports.
        flush: makes the burst write what it has not written yet, where nobody else asks it to.
        every_s: seconds between two updates.
    """

    def __init__(
        self,
        layout: Layout,
        objectives: Sequence[str],
        measure_usage: Callable[[], Mapping[str, Any]] | None = None,
        on_reports: Callable[[Sequence[Row]], None] | None = None,
        flush: Callable[[], Any] | None = None,
        every_s: float = EVERY_S,
    ) -> None:
        self._layout, self._objectives = layout, objectives
        self._measure_usage, self._on_reports = measure_usage, on_reports
        self._flush, self._every_s = flush, every_s
        self._ended = threading.Event()
        self._warned, self._burst = False, 0
        self._thread = threading.Thread(target=self._work, name="raybayes-monitor", daemon=True)

    def __enter__(self) -> Monitor:
        self._burst = next_burst_number(self._layout)  # nothing of this one is reported yet
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def _work(self) -> None:
        over = self._ended.wait(self._every_s)
        from raybayes.store.logs.tensorboard_events import EventFiles  # not earlier: a burst that begins imports enough

        files = EventFiles(self._layout)
        while not over:
            self._guarded(lambda: self._update(files))
            over = self._ended.wait(self._every_s)
        self._guarded(lambda: self._close(files))

    def _update(self, files: EventFiles) -> None:
        if self._flush is not None:
            self._flush()
        news = files.update()
        if self._on_reports is not None:  # those of earlier bursts are for the event files alone
            self._on_reports([row for burst, row in news if burst >= self._burst])
        if self._measure_usage is not None:
            self._layout.storage.write_bytes(self._layout.usage, json.dumps(self._measure_usage()).encode())

    def _close(self, files: EventFiles) -> None:
        files.close(read_trials(self._layout), self._objectives)
        self._layout.storage.delete(self._layout.usage)

    def _guarded(self, action: Callable[[], None]) -> None:
        try:
            action()
        except (StoreError, OSError) as error:
            if not self._warned:  # a full disk, say: the burst itself will raise where it matters
                self._warned = True
                _LOG.warning("event files and usage are not updated for now: %s", error)
