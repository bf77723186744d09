"""A folder of a trial's own: below the sweep where that is a folder, else on this machine until the trial ends."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

from raybayes.store.layout import Layout

_LOG = logging.getLogger("raybayes.store")


class TrialFolder:
    """The files of one trial.

    Args:
        layout: the sweep's paths.
        trial, repeat: whose folder.
    """

    def __init__(self, layout: Layout, trial: int, repeat: int) -> None:
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        if layout.storage.local:
            self.path: Path = layout.storage.writable_path(layout.trial_files(trial, repeat))
            self.path.mkdir(parents=True, exist_ok=True)
            return
        self._temporary = tempfile.TemporaryDirectory(prefix="raybayes-trial-")
        self.path = Path(self._temporary.name)
        _LOG.warning("the files of trial %d are lost when it ends: %s is not a folder", trial, layout.storage.display)

    def close(self) -> None:
        """Remove what is not kept; of what is kept, a folder that is empty."""
        if self._temporary is not None:
            self._temporary.cleanup()
        elif not any(self.path.iterdir()):
            self.path.rmdir()
