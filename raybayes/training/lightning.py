"""One callback for Lightning: reports, early stopping, checkpoints and resumption of a sweep's trials.

>>> from raybayes.training.lightning import ReportCallback                                  # doctest: +SKIP
>>> report = ReportCallback("val_loss")                                                     # doctest: +SKIP
>>> trainer = L.Trainer(max_epochs=20, callbacks=[report])                                  # doctest: +SKIP
>>> trainer.fit(model, train, val, ckpt_path=report.checkpoint)                             # doctest: +SKIP

Checked with Lightning 2.6.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import lightning.pytorch as pl

from raybayes.contract import State
from raybayes.errors import SpecError, TrialError
from raybayes.training.checkpoint_files import pack_file, unpack
from raybayes.training.current import trial_or_none


class ReportCallback(pl.Callback):
    """Reports Lightning's metrics at the end of each validation, with a checkpoint of Lightning's own.

    Outside a sweep it does nothing.

    Args:
        metrics: names as they were logged, the objective among them. Other numbers that were logged are reported too.
    """

    def __init__(self, *metrics: str) -> None:
        if not metrics:
            raise SpecError('ReportCallback: found no metric; give one that is logged, for example "val_loss".')
        self._metrics = metrics
        self._trial = trial_or_none()
        self._folder = tempfile.TemporaryDirectory(prefix="raybayes-")
        state = None if self._trial is None else self._trial.resume()
        #: path of the checkpoint to continue from, for `trainer.fit(ckpt_path=...)`; None at a first start
        self.checkpoint: str | None = None if state is None else str(unpack(state, Path(self._folder.name)))

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Refuse to train an interrupted trial from its beginning."""
        if self.checkpoint is not None and trainer.ckpt_path != self.checkpoint:
            raise TrialError(
                "this trial has a checkpoint, and fit was called without it; "
                "write trainer.fit(..., ckpt_path=report.checkpoint), where report is the ReportCallback."
            )

    def on_validation_end(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Report. Raises Stop if the trial must end now; Lightning lets it pass through."""
        if self._trial is None or trainer.sanity_checking:
            return
        logged = {name: float(value) for name, value in trainer.callback_metrics.items() if value.numel() == 1}
        missing = [name for name in self._metrics if name not in logged]
        if missing:
            raise TrialError(f"{', '.join(missing)} was not logged; found {', '.join(logged) or 'nothing'}.")

        def state() -> State:
            file = Path(self._folder.name) / "last.ckpt"
            trainer.save_checkpoint(file)
            return pack_file(file)

        self._trial.report(logged, state)
