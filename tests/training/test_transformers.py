"""The callback for Hugging Face's Trainer, with the real package on a tiny model."""

import pytest
import torch
from torch import nn

from raybayes.contract import Stop
from raybayes.errors import SpecError, TrialError
from raybayes.training.current import training

transformers = pytest.importorskip("transformers", reason="needs the extra [transformers]")
pytest.importorskip("accelerate", reason="transformers' Trainer needs it")
from raybayes.training.transformers import ReportCallback  # noqa: E402


class Line(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Linear(1, 1)

    def forward(self, x, labels):
        out = self.net(x)
        return {"loss": nn.functional.mse_loss(out, labels), "logits": out}


def fit(trial, folder, epochs, resume=True, metric="eval_loss"):
    data = [{"x": torch.tensor([i / 8.0]), "labels": torch.tensor([i / 4.0])} for i in range(8)]
    with training(trial):
        report = ReportCallback(metric)
        arguments = transformers.TrainingArguments(
            str(folder), num_train_epochs=epochs, eval_strategy="epoch", save_strategy="no", report_to=[], use_cpu=True,
            disable_tqdm=True, learning_rate=0.05, lr_scheduler_type="constant", per_device_train_batch_size=4,
        )  # fmt: skip
        trainer = transformers.Trainer(Line(), arguments, train_dataset=data, eval_dataset=data, callbacks=[report])
        trainer.train(resume_from_checkpoint=report.checkpoint if resume else None)


def losses(trial):
    return [report["eval_loss"] for report in trial.reports]


def test_each_evaluation_is_a_report(trial, tmp_path):
    fit(trial, tmp_path / "out", 3)
    assert len(trial.reports) == 3
    assert losses(trial)[0] > losses(trial)[2]


def test_a_stop_ends_the_training(make_trial, tmp_path):
    trial = make_trial(stop_at=2)
    with pytest.raises(Stop):
        fit(trial, tmp_path / "out", 5)
    assert len(trial.reports) == 2


def test_a_resumed_training_reports_what_an_uninterrupted_one_does(make_trial, tmp_path):
    whole, first = make_trial(), make_trial()
    fit(whole, tmp_path / "whole", 4)
    fit(first, tmp_path / "first", 2)
    second = make_trial(state=first.states[1])
    fit(second, tmp_path / "second", 4)
    assert losses(second) == pytest.approx(losses(whole)[2:], rel=1e-6)


def test_a_checkpoint_that_is_not_used_is_a_failure(make_trial, tmp_path):
    first = make_trial()
    fit(first, tmp_path / "first", 1)
    with pytest.raises(TrialError, match=r"resume_from_checkpoint=report\.checkpoint"):
        fit(make_trial(state=first.states[0]), tmp_path / "second", 2, resume=False)


def test_a_metric_that_is_not_evaluated_is_named(trial, tmp_path):
    with pytest.raises(TrialError, match="eval_f1 was not evaluated; found eval_loss"):
        fit(trial, tmp_path / "out", 1, metric="eval_f1")


def test_by_hand_it_does_nothing():
    assert ReportCallback("eval_loss").checkpoint is None
    with pytest.raises(SpecError, match="found no metric"):
        ReportCallback()
