"""One callback for Hugging Face's Trainer: reports, early stopping, checkpoints and resumption of a sweep's trials.

>>> from raybayes.training.transformers import ReportCallback                               # doctest: +SKIP
>>> report = ReportCallback("eval_loss")                                                    # doctest: +SKIP
>>> trainer = Trainer(model, args, train_dataset=train, eval_dataset=val, callbacks=[report])  # doctest: +SKIP
>>> trainer.train(resume_from_checkpoint=report.checkpoint)                                 # doctest: +SKIP

Checked with transformers 5.24.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from raybayes.errors import SpecError, TrialError
from raybayes.training.checkpoint_files import pack_file, unpack
from raybayes.training.current import trial_or_none


class ReportCallback(TrainerCallback):
    """Reports the metrics of each evaluation, with a checkpoint of the Trainer's own.

    The Trainer saves a checkpoint after each evaluation, because only then it holds what the report says. Outside a
    sweep it does nothing.

    Args:
        metrics: names as the Trainer evaluates them ("eval_loss"), the objective among them. Other numbers are
            reported too.
    """

    def __init__(self, *metrics: str) -> None:
        if not metrics:
            raise SpecError('ReportCallback: found no metric; give one that is evaluated, for example "eval_loss".')
        self._metrics = metrics
        self._trial = trial_or_none()
        self._folder = tempfile.TemporaryDirectory(prefix="raybayes-")
        self._evaluated: dict[str, float] | None = None
        state = None if self._trial is None else self._trial.resume()
        #: path of the checkpoint to continue from, for `trainer.train(resume_from_checkpoint=...)`; None at first
        self.checkpoint: str | None = None if state is None else str(unpack(state, Path(self._folder.name)))

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any
    ) -> None:
        """Refuse to train an interrupted trial from its beginning."""
        if self.checkpoint is not None and state.global_step == 0:
            raise TrialError(
                "this trial has a checkpoint, and train was called without it; "
                "write trainer.train(resume_from_checkpoint=report.checkpoint), where report is the ReportCallback."
            )

    def on_evaluate(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, metrics: Any = None, **more: Any
    ) -> None:
        """Keep what was evaluated, and ask for the checkpoint that belongs to it."""
        if self._trial is None:
            return
        found = {name: float(value) for name, value in (metrics or {}).items() if isinstance(value, int | float)}
        missing = [name for name in self._metrics if name not in found]
        if missing:
            raise TrialError(f"{', '.join(missing)} was not evaluated; found {', '.join(found) or 'nothing'}.")
        self._evaluated = found
        control.should_save = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **more: Any) -> None:
        """Report. Raises Stop if the trial must end now; the Trainer lets it pass through."""
        if self._trial is None or self._evaluated is None:
            return
        folder = Path(args.output_dir or ".") / f"checkpoint-{state.global_step}"
        evaluated, self._evaluated = self._evaluated, None
        self._trial.report(evaluated, lambda: pack_file(folder))
