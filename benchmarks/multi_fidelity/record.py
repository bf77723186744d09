"""Records the curves once: 128 random configurations of a small network on MNIST, 27 epochs each.

    RAYBAYES_DATA=... python -m benchmarks.multi_fidelity.record

Every network is trained to its end, also those that diverge; nothing is chosen afterwards. 4,000 digits to train on
and 4,000 others to judge by, both from MNIST's training set.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch import nn

from benchmarks.multi_fidelity.space import EPOCHS, SPACE
from raybayes import data
from raybayes.seeds import derive
from raybayes.space import Choice, Int

CONFIGURATIONS = 128
TRAIN = VALIDATION = 4000
FILE = Path(__file__).parent / "curves.parquet"


def configurations() -> list[dict[str, float | int]]:
    """Independent uniform draws (in the logarithm where the range is one)."""
    rng = np.random.default_rng(derive(0, "curves"))
    return [{name: _drawn(name, rng) for name in SPACE} for _ in range(CONFIGURATIONS)]


def _drawn(name: str, rng: np.random.Generator) -> float | int:
    parameter = SPACE[name]
    assert not isinstance(parameter, Choice), f"{name}: the curves are recorded over numbers only"
    low, high = parameter.low, parameter.high
    value = np.exp(rng.uniform(np.log(low), np.log(high))) if parameter.log else rng.uniform(low, high)
    return parameter.nearest(float(value)) if isinstance(parameter, Int) else float(value)


def digits() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Images (n, 784) scaled to mean 0 and deviation 1, and labels (n,), to train on and to judge by."""
    table = data.load("mnist")["train"].slice(0, TRAIN + VALIDATION)
    pixels = np.frombuffer(b"".join(table["image"].to_pylist()), np.uint8).reshape(-1, 784)
    images = (torch.from_numpy(pixels.astype(np.float32)) / 255 - 0.1307) / 0.3081
    labels = torch.tensor(table["label"].to_pylist(), dtype=torch.int64)
    return images[:TRAIN], labels[:TRAIN], images[TRAIN:], labels[TRAIN:]


def curve(config: dict[str, float | int], seed: int, sets: tuple[torch.Tensor, ...]) -> Iterator[dict[str, float]]:
    """One row an epoch: validation error and loss, seconds of the epoch."""
    images, labels, others, answers = sets
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        width, rate = int(config["width"]), config["dropout"]
        network = nn.Sequential(
            nn.Linear(784, width), nn.ReLU(), nn.Dropout(rate),
            nn.Linear(width, width), nn.ReLU(), nn.Dropout(rate), nn.Linear(width, 10),
        )  # fmt: skip
        optimiser = torch.optim.SGD(
            network.parameters(), config["lr"], config["momentum"], weight_decay=config["weight_decay"], nesterov=False
        )
        for epoch in range(1, EPOCHS + 1):
            began = time.perf_counter()
            network.train()
            for picked in torch.randperm(TRAIN).split(int(config["batch"])):
                optimiser.zero_grad()
                nn.functional.cross_entropy(network(images[picked]), labels[picked]).backward()
                optimiser.step()
            network.eval()
            with torch.no_grad():
                logits = network(others)
                loss = float(nn.functional.cross_entropy(logits, answers))
                error = float((logits.argmax(1) != answers).float().mean())
            yield {"step": epoch, "error": error, "loss": loss, "seconds": time.perf_counter() - began}


def main(argv: list[str]) -> int:
    """Write curves.parquet: config.*, step, error, loss (NaN where it diverged), seconds."""
    torch.set_num_threads(1)
    sets, rows = digits(), []
    for number, config in enumerate(configurations()):
        named = {f"config.{name}": value for name, value in config.items()}
        rows += [{"run": number, **named, **row} for row in curve(config, derive(0, "curve", number), sets)]
        print(number, rows[-1]["error"], f"{rows[-1]['seconds']:.3f} s", flush=True)
    pq.write_table(pa.Table.from_pylist(rows), FILE, compression="zstd")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
