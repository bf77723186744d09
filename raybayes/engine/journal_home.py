"""Where the study lives while a burst runs: in the sweep's folder, or (object store) in a copy that is uploaded."""

from __future__ import annotations

import tempfile
from pathlib import Path

from raybayes.clock import Clock
from raybayes.search.study import Study
from raybayes.store.layout import Layout

UPLOAD_EVERY_S = 5.0


class JournalHome:
    """The study's journal as a file of this machine.

    A journal grows by appending, which object stores cannot do. There the file is fetched at the start of the
    burst, and uploaded whole every few seconds and at the end.
    """

    def __init__(self, layout: Layout, clock: Clock) -> None:
        self._layout, self._clock = layout, clock
        self._copy: Path | None = None
        self._uploaded = clock.elapsed()
        if not layout.storage.local:
            self._copy = Path(tempfile.mkdtemp(prefix="raybayes-")) / "study.journal"
            if layout.storage.exists(layout.journal):
                self._copy.write_bytes(layout.storage.read_bytes(layout.journal))

    @property
    def location(self) -> str:
        """The path that the study opens."""
        return str(self._copy or self._layout.storage.local_path(self._layout.journal))

    def flush(self, study: Study, sync: bool = True, last: bool = False) -> None:
        """Make the study survive a crash of this process; on an object store of this machine too, every few seconds."""
        study.flush(sync)
        if self._copy is not None and (last or self._clock.elapsed() - self._uploaded >= UPLOAD_EVERY_S):
            self._layout.storage.write_bytes(self._layout.journal, self._copy.read_bytes())
            self._uploaded = self._clock.elapsed()


def journal_copy(layout: Layout) -> str:
    """A journal to read: the sweep's own, or a fetched copy."""
    if layout.storage.local:
        return str(layout.storage.local_path(layout.journal))
    copy = Path(tempfile.mkdtemp(prefix="raybayes-")) / "study.journal"
    if layout.storage.exists(layout.journal):
        copy.write_bytes(layout.storage.read_bytes(layout.journal))
    return str(copy)
