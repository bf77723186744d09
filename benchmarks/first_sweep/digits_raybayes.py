"""The script as a function that raybayes searches: processes, early stopping, resumption of the sweep.

python digits.py --lr 0.003 --width 64 --dropout 0.2 --epochs 10
"""

import argparse
import sys

import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import raybayes as rb


def main(config: dict[str, object]) -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--dropout", type=float, default=0.1)
    parser.add_argument("--optimizer", choices=["sgd", "adam"], default="adam")
    parser.add_argument("--nesterov", action="store_true")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args([word for name, value in config.items() for word in (f"--{name}", str(value))])

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
        rb.report(val_loss=val_loss, accuracy=accuracy)
    print(f"final val_loss={val_loss:.4f} accuracy={accuracy:.4f}", file=sys.stderr)


if __name__ == "__main__":
    space = {"lr": rb.Float(1e-4, 1, log=True), "width": rb.Int(16, 256), "optimizer": rb.Choice("sgd", "adam")}
    sweep = rb.sweep(main, space=space, objective="val_loss:minimize", trials=20, scheduler="asha", config={"epochs": 20})
    print(sweep.best["val_loss"], sweep.config())
