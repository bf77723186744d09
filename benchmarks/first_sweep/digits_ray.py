"""The script searched with Ray Tune and OptunaSearch: no resumption of a trial.

python digits.py --lr 0.003 --width 64 --dropout 0.2 --epochs 10
"""

import argparse
import json
import sys

import torch
from ray import tune
from ray.tune.schedulers import ASHAScheduler
from ray.tune.search.optuna import OptunaSearch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset


def main(arguments: list[str]) -> None:
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
        tune.report({"val_loss": val_loss, "accuracy": accuracy})
    print(f"final val_loss={val_loss:.4f} accuracy={accuracy:.4f}", file=sys.stderr)


def trainable(config: dict[str, object]) -> None:
    main([word for name, value in config.items() for word in (f"--{name}", str(value))])


if __name__ == "__main__":
    space = {
        "lr": tune.loguniform(1e-4, 1),
        "width": tune.randint(16, 257),
        "optimizer": tune.choice(["sgd", "adam"]),
        "epochs": 20,
    }
    tuner = tune.Tuner(
        trainable,
        param_space=space,
        tune_config=tune.TuneConfig(
            metric="val_loss", mode="min", num_samples=20, search_alg=OptunaSearch(), scheduler=ASHAScheduler(max_t=20)
        ),
        run_config=tune.RunConfig(verbose=0),
    )
    best = tuner.fit().get_best_result()
    print(best.metrics["val_loss"], best.config)
