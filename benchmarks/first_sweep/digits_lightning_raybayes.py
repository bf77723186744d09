"""The Lightning module as raybayes searches it: one callback, and a function around its three lines."""

import lightning as L
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from raybayes.training.lightning import ReportCallback


class Digits(L.LightningModule):
    def __init__(self, lr: float = 1e-3, width: int = 64, dropout: float = 0.1) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.net = nn.Sequential(nn.Linear(64, width), nn.ReLU(), nn.Dropout(dropout), nn.Linear(width, 10))

    def training_step(self, batch, _):
        x, y = batch
        loss = nn.functional.cross_entropy(self.net(x), y)
        self.log("train_loss", loss)
        return loss

    def validation_step(self, batch, _):
        x, y = batch
        logits = self.net(x)
        self.log("val_loss", nn.functional.cross_entropy(logits, y), prog_bar=True)
        self.log("val_accuracy", (logits.argmax(1) == y).float().mean())

    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=self.hparams.lr)


def loaders():
    x, y = (torch.as_tensor(part) for part in load_digits(return_X_y=True))
    x = x.float() / 16
    return (
        DataLoader(TensorDataset(x[:1200], y[:1200]), batch_size=64, shuffle=True),
        DataLoader(TensorDataset(x[1200:], y[1200:]), batch_size=256),
    )


def fit(config):
    train, val = loaders()
    report, model = ReportCallback("val_loss"), Digits(config["lr"], config["width"])
    L.Trainer(max_epochs=3, logger=False, enable_checkpointing=False, callbacks=[report]).fit(model, train, val, ckpt_path=report.checkpoint)
