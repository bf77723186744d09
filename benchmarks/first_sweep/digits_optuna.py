"""The script searched with Optuna: no process per trial, no resumption of a trial, one trial at a time.

python digits.py --lr 0.003 --width 64 --dropout 0.2 --epochs 10
"""

import argparse
import json
import sys

import optuna
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def main(arguments: list[str], trial: optuna.Trial) -> float:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--optimizer", choices=["sgd", "adam"], default="adam")
    parser.add_argument("--nesterov", action="store_true")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(arguments)

    torch.manual_seed(args.seed)
    x, y = (torch.as_tensor(part) for part in load_digits(return_X_y=True))
    x = x.float() / 16
    train = DataLoader(TensorDataset(x[:1200], y[:1200]), batch_size=64, shuffle=True, num_workers=args.workers)
    model = nn.Sequential(nn.Linear(64, args.width), nn.ReLU(), nn.Dropout(args.dropout), nn.Linear(args.width, 10))
    if args.optimizer == "adam":
        optimizer = torch.optim.Adam(model.parameters(), lr=args.lr)
    else:
        optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9, nesterov=args.nesterov)
    for epoch in range(1, args.epochs + 1):
        model.train()
        for inputs, labels in train:
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(model(inputs), labels)
            loss.backward()
            optimizer.step()
        model.eval()
        with torch.no_grad():
            logits = model(x[1200:])
            val_loss = nn.functional.cross_entropy(logits, y[1200:]).item()
            accuracy = (logits.argmax(1) == y[1200:]).float().mean().item()
        print(json.dumps({"epoch": epoch, "val_loss": val_loss, "accuracy": accuracy}), flush=True)
        trial.report(val_loss, epoch)
        if trial.should_prune():
            raise optuna.TrialPruned
    print(f"final val_loss={val_loss:.4f} accuracy={accuracy:.4f}", file=sys.stderr)
    return val_loss


def objective(trial: optuna.Trial) -> float:
    lr = trial.suggest_float("lr", 1e-4, 1, log=True)
    width = trial.suggest_int("width", 16, 256)
    optimizer = trial.suggest_categorical("optimizer", ["sgd", "adam"])
    return main(["--lr", str(lr), "--width", str(width), "--optimizer", optimizer, "--epochs", "20"], trial)


if __name__ == "__main__":
    study = optuna.create_study(
        storage="sqlite:///digits.db",
        study_name="digits",
        load_if_exists=True,
        pruner=optuna.pruners.SuccessiveHalvingPruner(),
    )
    study.optimize(objective, n_trials=20)
    print(study.best_value, study.best_params)
