"""The travelling salesman: the cost of an order is the length of its closed tour."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from pathlib import Path

import pyarrow as pa
import torch
from torch import Tensor

from raybayes.errors import DataError
from trainables.permutations.descent import Evaluate
from trainables.permutations.tasks.problem import Control, Problem
from trainables.permutations.tasks.searches import Found
from trainables.permutations.tasks.tour_searches import lin_kernighan, local_search, nearest_neighbour, two_opt
from trainables.permutations.tsplib import Instance, is_tsplib, read_tsplib


class TourCost:
    """Length of a tour of n free cities and one fixed city, the last of the distance matrix.

    A tour is a cycle: fixing one city removes the n equal copies of every tour, among which a distribution would
    otherwise have to choose. The relaxed tour is sum_i P_i D P_{i+1}^T, with the fixed city's row before the first and
    after the last place.

    Args:
        distance: (n + 1, n + 1), from row to column.
    """

    def __init__(self, distance: Tensor) -> None:
        self.n = distance.shape[0] - 1
        self.distance = distance
        self._inner, self._out, self._home = distance[:-1, :-1], distance[-1, :-1], distance[:-1, -1]
        self._symmetric = torch.equal(distance, distance.T)

    def __call__(self, order: Tensor) -> Tensor:
        legs = self.distance[order[..., :-1], order[..., 1:]].sum(-1)
        return legs + self._out[order[..., 0]] + self._home[order[..., -1]]

    def relaxed(self, matrix: Tensor) -> tuple[Tensor, Tensor]:
        onward = matrix @ self._inner  # row i: distances from place i's city to every city
        legs = (onward[..., :-1, :] * matrix[..., 1:, :]).sum((-1, -2))
        ends = (matrix[..., 0, :] * self._out + matrix[..., -1, :] * self._home).sum(-1)
        after = torch.cat([self._backward(matrix, onward)[..., 1:, :], self._home.expand_as(onward[..., :1, :])], -2)
        before = torch.cat([self._out.expand_as(onward[..., :1, :]), onward[..., :-1, :]], -2)
        return legs + ends, after + before

    def _backward(self, matrix: Tensor, onward: Tensor) -> Tensor:
        """Row i: distances from every city to place i's."""
        return onward if self._symmetric else matrix @ self._inner.T

    def bend(self, matrix: Tensor, direction: Tensor) -> Tensor:
        onward = direction @ self._inner
        none = torch.zeros_like(onward[..., :1, :])
        return torch.cat([self._backward(direction, onward)[..., 1:, :], none], -2) + torch.cat(
            [none, onward[..., :-1, :]], -2
        )


def load_instance(name: str, tables: Mapping[str, pa.Table] | None, optimum: float | None) -> Instance:
    """An instance of the data set by name, or the TSPLIB file at that path.

    Raises:
        DataError: neither exists; lists the names.
    """
    if is_tsplib(name):
        found = read_tsplib(Path(name))
        return dataclasses.replace(found, optimum=optimum)
    assert tables is not None
    table = tables["all"]
    names = table["name"].to_pylist()
    if name not in names:
        raise DataError(
            f"tsp.instance = {name} is not in this data set; it has {', '.join(names)}; or give the path of a"
            f" .tsp or .atsp file."
        )
    row = table.slice(names.index(name), 1).to_pylist()[0]
    distance = torch.tensor(row["distance"], dtype=torch.float64).reshape(row["cities"], row["cities"])
    points = (
        None if row["coords"] is None else [tuple(row["coords"][i : i + 2]) for i in range(0, 2 * len(distance), 2)]
    )
    return Instance(name, distance.numpy(), optimum or float(row["optimum"]), points, row["tour"])


class Tour(Problem):
    """One instance, for `runs` runs."""

    def __init__(self, instance: Instance, runs: int, restarts: int, like: Tensor) -> None:
        self.instance, self.restarts = instance, restarts
        self._distance = torch.as_tensor(instance.distance, dtype=like.dtype, device=like.device)
        self.cost: TourCost = TourCost(self._distance)
        self.n, self.rows, self.device = self.cost.n, runs * restarts, like.device
        self.moves = "reverse" if torch.equal(self._distance, self._distance.T) else "insert"
        self._exact = torch.as_tensor(instance.distance, dtype=torch.float64)

    def gap(self, length: Tensor) -> Tensor:
        """100 (L / optimum - 1), in %."""
        assert self.instance.optimum is not None
        return 100 * (length / self.instance.optimum - 1)

    def measure(self, best: Tensor, mode: Tensor, theta: Tensor, last: bool = False) -> Mapping[str, Tensor]:
        if self.instance.optimum is None:
            return {}
        gap = self.gap(self.cost(best.unsqueeze(1)).squeeze(1))
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

    def remarks(self, lowest: float) -> Iterable[str]:
        """That the optimum, which every gap is relative to, is none."""
        if self.instance.optimum is not None and lowest < self.instance.optimum * (1 - 1e-6):
            yield (
                f"found a tour of {self.instance.name} of length {lowest:.10g}, below tsp.optimum ="
                f" {self.instance.optimum:.10g}, which is not the optimum: all gaps are wrong;"
                f" correct it or leave it out."
            )

    def descend(
        self, evaluate: Evaluate, starts: Tensor, left: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Iterated 2-opt and Or-opt from the best tour of each run."""
        home = torch.full((len(starts), 1), self.n)
        length, tours = local_search(self._exact, torch.cat([starts[:, 0], home], 1), left.tolist(), generator)
        return length, self._opened(tours), left

    def _opened(self, tours: Tensor) -> Tensor:
        """Orders (R, n) of the free cities in the direction of tours (R, n + 1)."""
        ahead = (tours == self.n).int().argmax(-1, keepdim=True) + 1 + torch.arange(self.n)
        return tours.gather(-1, ahead % (self.n + 1))

    def controls(self, budget: int, runs: int, generator: torch.Generator) -> Iterable[Control]:
        distance, found = self._exact, list(super().controls(budget, runs, generator))
        tours = two_opt(distance, budget, runs, generator)
        found.append(Control("two_opt", tours.value, "cost", tours.evaluations))
        greedy = torch.stack([nearest_neighbour(distance, start) for start in range(min(budget, self.n + 1))])
        lengths = distance[greedy, greedy.roll(-1, -1)].sum(-1)
        found.append(Control("nearest_neighbour", lengths.min().reshape(1), "cost", len(greedy)))
        starts = greedy[torch.randint(len(greedy), (runs,), generator=generator)]
        searched, _ = local_search(distance, starts, [budget - 1] * runs, generator)
        found.append(Control("local_search", searched, "cost", budget))
        if (best := lin_kernighan(distance)) is not None:
            found.append(Control("lkh", distance[best, best.roll(-1)].sum().reshape(1), "cost", 0))
        for control in found:
            yield control
            if self.instance.optimum is not None:
                yield Control(control.name, self.gap(control.value), "gap", control.evaluations)

    def searches(self, budget: int, generator: torch.Generator) -> Iterable[tuple[str, Found]]:
        """Without the descent by insertions and swaps: `local_search` is that of tours."""
        return (named for named in super().searches(budget, generator) if named[0] != "descent")
