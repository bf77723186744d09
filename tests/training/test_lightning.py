"""The callback for Lightning, with the real package on a tiny model."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from raybayes.contract import Stop
from raybayes.errors import SpecError, TrialError
from raybayes.training.current import training

lightning = pytest.importorskip("lightning", reason="needs the extra [lightning]")
from raybayes.training.lightning import ReportCallback  # noqa: E402


class Line(lightning.LightningModule):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Linear(1, 1)

    def training_step(self, batch, _):
        return nn.functional.mse_loss(self.net(batch[0]), batch[1])

    def validation_step(self, batch, _):
        self.log("val_loss", nn.functional.mse_loss(self.net(batch[0]), batch[1]))

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.1)


def fit(trial, epochs, ckpt=True, metric="val_loss"):
    x = torch.linspace(-1, 1, 16).unsqueeze(1)
    loader = DataLoader(TensorDataset(x, 2 * x), batch_size=8)
    with training(trial):
        report = ReportCallback(metric)
        quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "accelerator": "cpu",
                 "enable_model_summary": False}  # fmt: skip
        trainer = lightning.Trainer(max_epochs=epochs, callbacks=[report], **quiet)
        trainer.fit(Line(), loader, loader, ckpt_path=report.checkpoint if ckpt else None)


def test_each_validation_is_a_report(trial):
    fit(trial, 3)
    assert len(trial.reports) == 3
    assert trial.reports[0]["val_loss"] > trial.reports[2]["val_loss"]


def test_a_stop_ends_the_fit(make_trial):
    trial = make_trial(stop_at=2)
    with pytest.raises(Stop):
        fit(trial, 5)
    assert len(trial.reports) == 2


def test_a_resumed_fit_reports_what_an_uninterrupted_one_does(make_trial):
    whole, first = make_trial(), make_trial()
    fit(whole, 4)
    fit(first, 2)
    second = make_trial(state=first.states[1])
    fit(second, 4)
    assert second.reports == whole.reports[2:]


def test_a_checkpoint_that_is_not_used_is_a_failure(make_trial):
    first = make_trial()
    fit(first, 1)
    with pytest.raises(TrialError, match=r"write trainer\.fit\(\.\.\., ckpt_path=report\.checkpoint\)"):
        fit(make_trial(state=first.states[0]), 2, ckpt=False)


def test_a_metric_that_is_not_logged_is_named(trial):
    with pytest.raises(TrialError, match="val_accuracy was not logged; found val_loss"):
        fit(trial, 1, metric="val_accuracy")


def test_by_hand_it_does_nothing():
    report = ReportCallback("val_loss")
    assert report.checkpoint is None
    with pytest.raises(SpecError, match="found no metric"):
        ReportCallback()
