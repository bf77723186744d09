"""Where the study's journal lies while a burst runs: in the sweep's folder, or (object store) in a copy here."""

from __future__ import annotations

import tempfile
from collections.abc import Collection
from pathlib import Path

from raybayes.clock import Clock
from raybayes.search.study.reopening import reopen_failed
from raybayes.search.study.study import Study
from raybayes.store.layout import Layout
from raybayes.store.trials import mark_unfinished

UPLOAD_EVERY_S = 5.0


def journal_file(layout: Layout) -> Path:
    """The journal as a file of this machine: the sweep's own, or (object store) a downloaded copy."""
    if layout.storage.local:
        return layout.storage.local_path(layout.journal)
    copy = Path(tempfile.mkdtemp(prefix="raybayes-")) / "study.journal"
    if layout.storage.exists(layout.journal):
        copy.write_bytes(layout.storage.read_bytes(layout.journal))
    return copy


def reopen_failed_trials(layout: Layout, numbers: Collection[int]) -> None:
    """Make failed trials unfinished ones, which the next burst runs again. Only for the holder of the sweep's lock."""
    mark_unfinished(layout, numbers)
    file = journal_file(layout)
    reopen_failed(str(file), numbers)
    if not layout.storage.local:
        layout.storage.write_bytes(layout.journal, file.read_bytes())


class JournalFile:
    """The study's journal while a burst writes it.

    A journal grows by appending, which object stores cannot do. There the file is downloaded at the start of the
    burst, and uploaded whole every few seconds and at the end.
    """

    def __init__(self, layout: Layout, clock: Clock) -> None:
        self._layout, self._clock = layout, clock
        layout.storage.require_unlinked(layout.journal, whole=True)
        self._file = journal_file(layout)
        self._uploaded = clock.elapsed()

    @property
    def location(self) -> str:
        """The path that the study opens."""
        return str(self._file)

    def flush(self, study: Study, sync: bool = True, last: bool = False) -> None:
        """Store all that the study knows.

        Args:
            sync: whether it must survive a crash of this machine too, and not only of this process.
            last: whether the burst ends: an object store gets the file now, and otherwise every few seconds.
        """
        study.flush(sync)
        due = last or self._clock.elapsed() - self._uploaded >= UPLOAD_EVERY_S
        if due and not self._layout.storage.local:
            self._layout.storage.write_bytes(self._layout.journal, self._file.read_bytes())
            self._uploaded = self._clock.elapsed()
