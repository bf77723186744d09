"""Structure learning as a task: data for each run, the cost, the graph of an order, and the control methods."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, assert_never

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

from raybayes.data import edges
from raybayes.errors import DataError
from trainables.permutations.config import CausalValues
from trainables.permutations.costs import Cost
from trainables.permutations.tasks.causal import synthetic, tables
from trainables.permutations.tasks.causal.costs import Joint, LeastSquares
from trainables.permutations.tasks.causal.graphs import Distance, Graph, compare, from_edges, topological
from trainables.permutations.tasks.problem import Control, Problem

Reals = npt.NDArray[np.float64]
Order = npt.NDArray[np.int64]
PROTEINS = ("raf", "mek", "plcg", "pip2", "pip3", "erk", "akt", "pka", "pkc", "p38", "jnk")


@dataclass(frozen=True)
class Rows:
    """A data set and the graph that it should show.

    Args:
        values: (m, d).
        truth: (d, d).
        names: of the columns.
    """

    values: Reals
    truth: Graph
    names: tuple[str, ...]


def checked(rows: Rows, standardise: bool) -> Rows:
    """Centred columns, divided by their deviation if asked.

    Raises:
        DataError: a column is constant or holds a number that is not finite; names it.
    """
    if not np.isfinite(rows.values).all():
        bad = [rows.names[i] for i in np.flatnonzero(~np.isfinite(rows.values).all(0))]
        raise DataError(f"found values that are not finite in {', '.join(bad)}; remove those rows.")
    deviation = rows.values.std(0)
    if (constant := np.flatnonzero(deviation <= 1e-12 * (1 + np.abs(rows.values).max(0)))).size:
        shown = ", ".join(rows.names[i] for i in constant)
        raise DataError(f"found constant columns ({shown}), which carry no causal information; remove them.")
    centred = rows.values - rows.values.mean(0)
    return Rows(centred / deviation if standardise else centred, rows.truth, rows.names)


def sachs(cells: pa.Table, which: str, reference: str) -> Rows:
    """Logarithms of the 11 proteins: the 853 observational cells, or the 7,466 of the first nine experiments."""
    file = cells["file"].to_numpy()
    keep = file == 1 if which == "observational" else file <= 9
    values = np.log(np.stack([cells[name].to_numpy() for name in PROTEINS], 1)[keep])
    return Rows(values, from_edges(edges(cells, reference), PROTEINS), PROTEINS)


def simulated(config: CausalValues, runs: int, seed: int) -> list[Rows]:
    """A graph and a data set for each run."""
    made = []
    for run in range(runs):
        rng = np.random.default_rng([seed, run])
        draw = synthetic.draw(config.graph, config.d, config.edges * config.d, config.rows, config.noise, rng)
        made.append(Rows(draw.rows, draw.truth, tuple(f"x{i}" for i in range(config.d))))
    return made


def levels_of(values: Reals, levels: int) -> npt.NDArray[np.int64]:
    """Each column cut at its quantiles into codes 0 .. levels - 1."""
    cuts = np.quantile(values, np.arange(1, levels) / levels, axis=0)
    return np.asarray((values[:, :, None] > cuts.T[None]).sum(-1))


def regress(covariance: Reals, order: Order, threshold: float) -> Graph:
    """The graph of least-squares weights of each variable on its predecessors, |w| < threshold pruned."""
    graph = np.zeros(covariance.shape, dtype=bool)
    for place in range(1, len(order)):
        before, node = order[:place], order[place]
        weights = np.linalg.solve(covariance[np.ix_(before, before)], covariance[before, node])
        graph[before[np.abs(weights) >= threshold], node] = True
    return graph


def greedy_order(covariance: Reals) -> Order:
    """Next comes the variable whose residual variance given those before it is smallest (Chen, Drton, Wang 2019)."""
    left, order = list(range(len(covariance))), list[int]()
    while left:
        inside = covariance[order][:, order]
        cross = covariance[order][:, left]
        residual = covariance[left, left] - (cross * np.linalg.solve(inside, cross)).sum(0) if order else None
        variance = covariance[left, left] if residual is None else residual
        order.append(left.pop(int(np.argmin(variance))))
    return np.array(order)


class Causal(Problem):
    """One data set for each run (synthetic) or one for all (Sachs).

    Raises:
        DataError: see `checked` and `graphs.from_edges`.
    """

    def __init__(self, config: CausalValues, data: Sequence[Rows], runs: int, restarts: int, like: Tensor) -> None:
        self._config, self.rows, self.restarts, self.device = config, runs * restarts, restarts, like.device
        self._dtype = like.dtype
        self._which = [run * len(data) // runs for run in range(runs)]
        self._data = [checked(rows, config.standardise) for rows in data]
        self._covariances = [rows.values.T @ rows.values / len(rows.values) for rows in self._data]
        self.n = self._data[0].values.shape[1]
        self._tables = self._parent_tables()
        self._optima = [table.optimum() for table in self._tables]
        self.cost: Cost = self._cost(like)

    def _parent_tables(self) -> list[tables.ParentTable]:
        config = self._config
        match config.score:
            case "least_squares" | "joint":
                return []
            case "bic":
                found = zip(self._covariances, self._data, strict=True)
                return [tables.gaussian_bic(covariance, len(rows.values)) for covariance, rows in found]
            case "discrete_bic":
                return [tables.discrete_bic(code, config.levels) for code in self._codes()]
            case "bdeu":
                return [tables.bdeu(code, config.levels, config.sample_size) for code in self._codes()]
            case _ as unknown:
                assert_never(unknown)

    def _codes(self) -> list[npt.NDArray[np.int64]]:
        """Each data set cut at its quantiles."""
        return [levels_of(rows.values, self._config.levels) for rows in self._data]

    def _cost(self, like: Tensor) -> Cost:
        if self._tables:
            return _PerDataSet([tables.TableCost(table, like) for table in self._tables], self.n)
        covariance = torch.tensor(np.stack(self._covariances), dtype=like.dtype, device=like.device)
        if self._config.score == "joint":
            own = covariance.expand(self.rows, -1, -1).contiguous()
            return Joint(own, self._config.weight_l1, self._config.weight_lr)
        return LeastSquares(covariance)

    def cost_with(self, others: Sequence[Problem]) -> Cost:
        if self._config.graph == "sachs":
            return self.cost  # one data set for all
        costs = [self.cost, *(other.cost for other in others)]
        flat = [cost for cost in costs if isinstance(cost, LeastSquares)]
        if flat:
            return LeastSquares(torch.cat([cost.covariance for cost in flat]))
        return _PerDataSet(costs, self.n)

    def learn(self, order: Tensor) -> None:
        if isinstance(self.cost, Joint):
            self.cost.learn(order)

    def state(self) -> dict[str, Any]:
        return self.cost.state() if isinstance(self.cost, Joint) else {}

    def load(self, state: dict[str, Any]) -> None:
        if isinstance(self.cost, Joint):
            self.cost.load(state)

    def graph(self, run: int, order: Order) -> Graph:
        """The fitted graph of a run's order."""
        which = self._which[run]
        if self._tables:
            return self._tables[which].graph(order)
        return regress(self._covariances[which], order, self._config.threshold)

    def distances(self, orders: Sequence[Order]) -> list[Distance]:
        """How far the graph of each run's order is from the truth."""
        return [compare(self.graph(run, order), self._truth(run)) for run, order in enumerate(orders)]

    def _truth(self, run: int) -> Graph:
        return self._data[self._which[run]].truth

    def measure(self, best: Tensor, mode: Tensor, theta: Tensor) -> Mapping[str, Tensor]:
        found = self.distances(list(best.cpu().numpy()))
        scores = {name: _column(found, name) for name in ("shd", "fdr", "tpr", "fpr", "edges")}
        scores["shd_mode"] = _column(self.distances(list(mode.cpu().numpy())), "shd")
        if self._optima:
            scores["excess"] = self._excess(best)
        return scores

    def _excess(self, order: Tensor) -> Tensor:
        """The cost of each run's order above the exact optimum, (runs,); rounding errors count as 0."""
        optimum = torch.tensor([self._optima[i][0] for i in self._which], dtype=torch.float64)
        above = self.cost(order.unsqueeze(1)).squeeze(1).cpu().double() - optimum
        rounding = 8 * torch.finfo(self._dtype).eps * optimum.abs()
        return torch.where(above > rounding, above, torch.zeros_like(above))

    def pictures(self, best: Tensor, order: Tensor) -> Mapping[str, pa.Table]:
        """`graphs`: every edge that a run's graph or its truth has."""
        rows = []
        for run, listed in enumerate(order.cpu().numpy()):
            found, truth, names = self.graph(run, listed), self._truth(run), self._data[self._which[run]].names
            for i, j in np.argwhere(found | truth):
                rows.append({"run": run, "source": names[i], "target": names[j],
                             "found": bool(found[i, j]), "true": bool(truth[i, j])})  # fmt: skip
        return {"graphs": pa.Table.from_pylist(rows)}

    def controls(self, budget: int, runs: int, generator: torch.Generator) -> Iterable[Control]:
        for name, found in self.searches(budget, generator):
            yield from self._controls(name, list(found.order.numpy()), found.evaluations)
        which = self._which
        fixed = {
            "random_order": [torch.rand(self.n, generator=generator).argsort().numpy() for _ in which],
            "variance_sorting": [np.diag(self._covariances[i]).argsort() for i in which],
            "greedy_order": [greedy_order(self._covariances[i]) for i in which],
            "true_order": [topological(self._data[i].truth) for i in which],
        }
        if self._optima:
            fixed["exact_optimum"] = [self._optima[i][1] for i in which]
        for name, orders in fixed.items():
            yield from self._controls(name, orders, 0)

    def _controls(self, name: str, orders: list[Order], evaluations: int) -> Iterable[Control]:
        tensor = torch.from_numpy(np.stack(orders)).to(self.device)
        yield Control(name, self.cost(tensor.unsqueeze(1)).squeeze(1).cpu(), "cost", evaluations)
        yield Control(name, _column(self.distances(orders), "shd"), "shd", evaluations)
        if self._optima:
            yield Control(name, self._excess(tensor), "excess", evaluations)


def _column(distances: Sequence[Distance], name: str) -> Tensor:
    return torch.tensor([float(getattr(distance, name)) for distance in distances])


class _PerDataSet:
    """One cost per data set; orders come in a multiple of their number, equally many for each."""

    def __init__(self, costs: Sequence[Cost], n: int) -> None:
        self._costs, self.n = costs, n

    def __call__(self, order: Tensor) -> Tensor:
        if len(self._costs) == 1:
            return self._costs[0](order)
        parts = order.unflatten(0, (len(self._costs), -1))
        return torch.cat([cost(part) for cost, part in zip(self._costs, parts, strict=True)])
