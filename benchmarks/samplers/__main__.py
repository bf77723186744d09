"""python -m benchmarks.samplers [--quick] [--seeds N] [--only SPACE] [--out FOLDER]"""

from __future__ import annotations

import argparse
import contextlib
import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import optuna

import raybayes as rb
from benchmarks import measurement
from benchmarks.quality import Found, write
from raybayes.space import Choice, Float, Int, Space

AT, SLOTS = (20, 40, 80), 8
MOST = {"gp": 40}  # trials: a Gaussian process takes a tenth of a second a suggestion, and longer with each
NOTES = """
"conditional": three methods, each with its own best learning rate and one or two parameters of its own; the best method
is best only once its own parameters are found. "numbers": six numbers, no conditions (Hartmann-6). "mixed": the same
numbers, and two choices of four values each that shift the loss. "two objectives": six numbers (DTLZ2; the value is the
hypervolume that is missing to the true front, reference point (1.1, 1.1)). One trial at a time, and eight at a time.
The value is the lowest loss so far minus the lowest possible. "as before" is Optuna's default: what the model
of gp and cmaes leaves out is drawn uniformly, and a population of nsga2 has 50 members. gp is followed for 40 trials.
Mean ± standard error over n seeds.
"""
A = np.array(
    [[10, 3, 17, 3.5, 1.7, 8], [0.05, 10, 17, 0.1, 8, 14], [3, 3.5, 1.7, 10, 17, 8], [17, 8, 0.05, 10, 0.1, 14]]
)
P = np.array([[1312, 1696, 5569, 124, 8283, 5886], [2329, 4135, 8307, 3736, 1004, 9991],
              [2348, 1451, 3522, 2883, 3047, 6650], [4047, 8828, 8732, 5743, 1091, 381]]) / 1e4  # fmt: skip


@dataclass(frozen=True)
class Toy:
    """A space, a loss on it, and the lowest loss."""

    space: Space
    loss: Callable[[Mapping[str, Any]], dict[str, float]]
    lowest: float = 0.0
    objectives: int = 1


def _conditional(c: Mapping[str, Any]) -> dict[str, float]:
    rate = math.log10(c["lr"])
    if c["method"] == "plain":
        return {"loss": 0.2 + 0.05 * (rate + 2) ** 2 + 0.4 * (c["plain.momentum"] - 0.9) ** 2}
    if c["method"] == "deep":
        return {"loss": 0.1 + 0.05 * (rate + 1) ** 2 + 0.03 * (c["deep.layers"] - 6) ** 2}
    scale, rank = c["swag.scale"], math.log2(c["swag.rank"] / 20)
    return {"loss": 0.05 * (rate + 3) ** 2 + 0.8 * (scale - 0.35) ** 2 + 0.1 * rank**2}


def _hartmann(c: Mapping[str, Any]) -> dict[str, float]:
    x = np.array([c[f"x{i}"] for i in range(6)])
    return {"loss": -float(np.array([1.0, 1.2, 3.0, 3.2]) @ np.exp(-(A * (x - P) ** 2).sum(axis=1)))}


def _mixed(c: Mapping[str, Any]) -> dict[str, float]:
    shift = {"a": 0.0, "b": 0.3, "c": 0.6, "d": 0.9}
    return {"loss": _hartmann(c)["loss"] + shift[c["one"]] + shift[c["two"]]}


def _dtlz2(c: Mapping[str, Any]) -> dict[str, float]:
    g = sum((c[f"x{i}"] - 0.5) ** 2 for i in range(1, 6))
    angle = c["x0"] * math.pi / 2
    return {"loss": (1 + g) * math.cos(angle), "cost": (1 + g) * math.sin(angle)}


NUMBERS = {f"x{i}": Float(0.0, 1.0) for i in range(6)}
TOYS = {
    "conditional": Toy(
        Space({
            "method": Choice("plain", "deep", "swag"),
            "lr": Float(1e-5, 1.0, log=True),
            "plain.momentum": Float(0.0, 1.0, when={"method": "plain"}),
            "deep.layers": Int(1, 12, when={"method": "deep"}),
            "swag.rank": Int(2, 100, log=True, when={"method": "swag"}),
            "swag.scale": Float(0.0, 1.0, when={"method": "swag"}),
        }),
        _conditional,
    ),
    "numbers": Toy(Space(NUMBERS), _hartmann, -3.32237),
    "mixed": Toy(Space({**NUMBERS, "one": Choice(*"abcd"), "two": Choice(*"abcd")}), _mixed, -3.32237),
    "two objectives": Toy(Space(NUMBERS), _dtlz2, objectives=2),
}  # fmt: skip
FRONT = 1.1**2 - math.pi / 4  # hypervolume of the quarter circle


def missing_volume(points: Sequence[tuple[float, float]]) -> float:
    """The hypervolume between the true front and the points, up to (1.1, 1.1)."""
    covered, edge = 0.0, 1.1
    for x, y in sorted(points):
        if x < 1.1 and y < edge:
            covered += (1.1 - x) * (edge - y)
            edge = y
    return FRONT - covered


def searched(toy: Toy, sampler: str, seed: int, trials: int, slots: int, before: bool) -> list[dict[str, Any]]:
    """The trials of one sweep, in the order of their ends."""
    objective: Any = {"loss": "minimize", "cost": "minimize"} if toy.objectives == 2 else {"loss": "minimize"}
    name = "nsga2:population_size=50" if before and sampler == "nsga2" else sampler
    hidden = mock.patch("raybayes.search.samplers._JOINT_ONLY", ()) if before else contextlib.nullcontext()
    with hidden:
        found = rb.simulate(
            toy.loss, toy.space, trials=trials, seed=seed, sampler=name, workers=slots, objective=objective, name="toy"
        )
    return sorted(found.sweep.trials.to_pylist(), key=lambda row: row["ended"])


def compare(name: str, slots: int, seeds: int, sides: Sequence[tuple[str, str, bool]]) -> Iterator[Found]:
    toy = TOYS[name]
    claim = f"{name}, {slots} at a time" if slots > 1 else f"{name}, one at a time"
    for side, sampler, before in sides:
        for seed in range(seeds):
            at = [count for count in AT if count <= MOST.get(sampler, AT[-1])]
            rows = searched(toy, sampler, seed, at[-1], slots, before)
            for count in at:
                if toy.objectives == 2:
                    value = missing_volume([(row["loss"], row["cost"]) for row in rows[:count]])
                else:
                    value = min(row["loss"] for row in rows[:count]) - toy.lowest
                yield Found(claim, side, f"after {count}", value)
        print(claim, side, "done", file=sys.stderr, flush=True)


def sides_of(name: str, slots: int) -> list[tuple[str, str, bool]]:
    sides = [(sampler, sampler, False) for sampler in ("tpe", "gp", "cmaes", "nsga2", "random")]
    if slots == 1:
        before = {"conditional": ("gp", "cmaes"), "mixed": ("cmaes",), "two objectives": ("nsga2",)}.get(name, ())
        sides += [(f"{sampler}, as before", sampler, True) for sampler in before]
    if name == "two objectives":
        sides = [side for side in sides if side[1] != "cmaes"]
    return sides if slots == 1 else [side for side in sides if side[0] in ("tpe", "gp", "random")]


def main(argv: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.samplers", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="two seeds, random search alone, to see that it runs")
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--only", choices=tuple(TOYS), help="one space, kept in a file of its own")
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results"))
    options = parser.parse_args(argv)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    before = measurement.load()
    found: list[Found] = []
    for name in TOYS:
        if options.only in (None, name):
            for slots in (1, SLOTS) if name == "numbers" else (1,):
                sides = sides_of(name, slots)
                quick = [side for side in sides if side[1] in ("random", "nsga2")]
                found += compare(name, slots, 2 if options.quick else options.seeds, quick if options.quick else sides)
    name = "samplers" + (f"_{options.only.replace(' ', '_')}" if options.only else "")
    print(write(options.out, name, "Samplers", NOTES, found, measurement.this_machine(before)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
