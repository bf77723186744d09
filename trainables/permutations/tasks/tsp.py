"""The travelling salesman: the cost of an order is the length of its closed tour."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa
import torch
from torch import Tensor

from raybayes.errors import DataError
from trainables.permutations.tasks.problem import Control, Problem
from trainables.permutations.tasks.searches import Found
from trainables.permutations.tsplib import Instance, read_tsplib


class TourCost:
    """Length of a tour of n free cities and one fixed city, the last of the distance matrix.

    A tour is a cycle: fixing one city removes the n equal copies of every tour, among which a distribution would
    otherwise have to choose. The relaxed tour is sum_i P_i D P_{i+1}^T, with the fixed city's row before the first and
    after the last place.

    Args:
        distance: (n + 1, n + 1), symmetric.
    """

    def __init__(self, distance: Tensor) -> None:
        self.n = distance.shape[0] - 1
        self.distance = distance
        self._inner, self._home = distance[:-1, :-1], distance[-1, :-1]

    def __call__(self, order: Tensor) -> Tensor:
        legs = self.distance[order[..., :-1], order[..., 1:]].sum(-1)
        return legs + self._home[order[..., 0]] + self._home[order[..., -1]]

    def relaxed(self, matrix: Tensor) -> tuple[Tensor, Tensor]:
        onward = matrix @ self._inner  # row i: distances from place i's city to every city
        legs = (onward[..., :-1, :] * matrix[..., 1:, :]).sum((-1, -2))
        ends = ((matrix[..., 0, :] + matrix[..., -1, :]) * self._home).sum(-1)
        home = self._home.expand_as(onward[..., :1, :])
        after = torch.cat([onward[..., 1:, :], home], -2)
        before = torch.cat([home, onward[..., :-1, :]], -2)
        return legs + ends, after + before

    def bend(self, matrix: Tensor, direction: Tensor) -> Tensor:
        onward = direction @ self._inner
        none = torch.zeros_like(onward[..., :1, :])
        return torch.cat([onward[..., 1:, :], none], -2) + torch.cat([none, onward[..., :-1, :]], -2)


def load_instance(name: str, tables: Mapping[str, pa.Table] | None, optimum: float | None) -> Instance:
    """An instance of the data set by name, or the TSPLIB file at that path.

    Raises:
        DataError: neither exists; lists the names.
    """
    if name.endswith(".tsp"):
        found = read_tsplib(Path(name))
        return dataclasses.replace(found, optimum=optimum)
    assert tables is not None
    table = tables["all"]
    names = table["name"].to_pylist()
    if name not in names:
        raise DataError(
            f"tsp.instance = {name} is not in this data set; it has {', '.join(names)}; or give the path of a"
            f" .tsp file."
        )
    row = table.slice(names.index(name), 1).to_pylist()[0]
    distance = torch.tensor(row["distance"], dtype=torch.float64).reshape(row["cities"], row["cities"])
    points = (
        None if row["coords"] is None else [tuple(row["coords"][i : i + 2]) for i in range(0, 2 * len(distance), 2)]
    )
    return Instance(name, distance.numpy(), optimum or float(row["optimum"]), points, row["tour"])


def two_opt(distance: Tensor, budget: int, runs: int, generator: torch.Generator) -> Found:
    """2-opt from random tours, restarted until the budget is spent.

    Exchanges are tried in random order, n at a time, and the best of those is made if it helps; each tried exchange
    counts as one evaluation, although it costs four look-ups instead of n.
    """
    n = len(distance)
    best = torch.full((runs,), torch.inf, dtype=torch.float64)
    orders = torch.zeros(runs, n, dtype=torch.long)
    low, high = torch.triu_indices(n, n, 1)
    low, high = low[(high - low < n - 1)], high[(high - low < n - 1)]  # reversing the whole tour changes nothing
    for run in range(runs):
        used = 0
        while used + 1 <= budget:
            tour = torch.rand(n, generator=generator).argsort()
            used += 1
            fruitless = 0
            while fruitless < len(low) and used < budget:
                shuffled = torch.rand(len(low), generator=generator).argsort()
                for block in shuffled.split(n):
                    part = block[: budget - used]
                    if len(part) == 0 or fruitless >= len(low):
                        break
                    used += len(part)
                    fruitless = 0 if _exchange(tour, distance, low[part], high[part]) else fruitless + len(part)
            length = float(distance[tour, tour.roll(-1)].sum())
            if length < best[run]:
                best[run], orders[run] = length, tour
    return Found(best, orders, budget)


def _exchange(tour: Tensor, distance: Tensor, low: Tensor, high: Tensor) -> bool:
    """Reverse, in place, the segment low .. high that shortens the tour most; returns whether there was one."""
    a, b, c, d = tour[low - 1], tour[low], tour[high], tour[(high + 1) % len(tour)]
    value, where = (distance[a, b] + distance[c, d] - distance[a, c] - distance[b, d]).max(0)
    if value <= 1e-9:
        return False
    i, j = int(low[where]), int(high[where])
    tour[i : j + 1] = tour[i : j + 1].flip(0)
    return True


def nearest_neighbour(distance: Tensor, starts: int) -> float:
    """The shortest of the greedy tours from the first `starts` cities."""
    best = float("inf")
    for start in range(min(starts, len(distance))):
        left, tour = set(range(len(distance))) - {start}, [start]
        while left:
            tour.append(min(left, key=lambda city: float(distance[tour[-1], city])))
            left.remove(tour[-1])
        cities = torch.tensor(tour)
        best = min(best, float(distance[cities, cities.roll(-1)].sum()))
    return best


class Tour(Problem):
    """One instance, for `runs` runs."""

    def __init__(self, instance: Instance, runs: int, restarts: int, like: Tensor) -> None:
        self.instance, self.restarts = instance, restarts
        self._distance = torch.as_tensor(instance.distance, dtype=like.dtype, device=like.device)
        self.cost: TourCost = TourCost(self._distance)
        self.n, self.rows, self.device, self.moves = self.cost.n, runs * restarts, like.device, "reverse"

    def gap(self, length: Tensor) -> Tensor:
        """100 (L / optimum - 1), in %."""
        assert self.instance.optimum is not None
        return 100 * (length / self.instance.optimum - 1)

    def measure(self, best: Tensor, mode: Tensor, theta: Tensor, last: bool = False) -> Mapping[str, Tensor]:
        if self.instance.optimum is None:
            return {}
        length = self.cost(best.unsqueeze(1)).squeeze(1)
        if last and float(length.min()) < self.instance.optimum - 1e-6:
            raise DataError(
                f"found a tour of {self.instance.name} of length {float(length.min()):.10g}, below tsp.optimum ="
                f" {self.instance.optimum:g}; that is not the optimum: correct it or leave it out."
            )
        gap = self.gap(length)
        return {"gap": gap, "gap_best": gap.min().reshape(1)}

    def pictures(self, best: Tensor, order: Tensor, draws: Tensor) -> Mapping[str, pa.Table]:
        """`tour`: the best tour of all runs and, if known, an optimal one, with coordinates."""
        points = self.instance.points
        if points is None:
            return {}
        found = [*order[best.argmin()].tolist(), self.n]
        tours = {"found": found} | ({} if self.instance.tour is None else {"optimal": list(self.instance.tour)})
        rows = [
            {"tour": name, "place": place, "city": city, "x": points[city][0], "y": points[city][1],
             "length": float(self._distance[cities, cities[1:] + cities[:1]].sum())}
            for name, cities in tours.items() for place, city in enumerate(cities)
        ]  # fmt: skip
        return {"tour": pa.Table.from_pylist(rows)}

    def controls(self, budget: int, runs: int, generator: torch.Generator) -> Iterable[Control]:
        cpu = self._distance.cpu().double()
        found = list(super().controls(budget, runs, generator))
        tours = two_opt(cpu, budget, runs, generator)
        found.append(Control("two_opt", tours.value, "cost", tours.evaluations))
        greedy = torch.tensor([nearest_neighbour(cpu, budget)])
        found.append(Control("nearest_neighbour", greedy, "cost", min(budget, len(cpu))))
        for control in found:
            yield control
            if self.instance.optimum is not None:
                yield Control(control.name, self.gap(control.value), "gap", control.evaluations)
