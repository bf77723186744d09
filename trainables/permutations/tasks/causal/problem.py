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
from trainables.permutations.tasks.causal import equivalence, own, synthetic, tables
from trainables.permutations.tasks.causal.costs import Joint, LeastSquares
from trainables.permutations.tasks.causal.graphs import Distance, Graph, compare, from_edges, topological
from trainables.permutations.tasks.causal.growing import GaussianBic, GrowShrink, GrowShrinkCost, MultinomialBic
from trainables.permutations.tasks.problem import Control, Problem
from trainables.permutations.tasks.searches import best_order_score

Reals = npt.NDArray[np.float64]
Order = npt.NDArray[np.int64]
TABLE = 15  # most variables whose parent sets are tabulated; bic grows and shrinks them above
MOST = 200
PROTEINS = ("raf", "mek", "plcg", "pip2", "pip3", "erk", "akt", "pka", "pkc", "p38", "jnk")


@dataclass(frozen=True)
class Rows:
    """A data set and the graph that it should show.

    Args:
        values: (m, d).
        truth: (d, d); None if it is not known.
        names: of the columns.
        discrete: whether the values are codes 0 .. levels - 1 of unordered values.
    """

    values: Reals
    truth: Graph | None
    names: tuple[str, ...]
    discrete: bool = False


def checked(rows: Rows, standardise: bool) -> Rows:
    """Centred columns, divided by their deviation if asked.

    Raises:
        DataError: a column is constant or holds a number that is not finite; names it.
    """
    own.require_varied(rows.values, rows.names)
    if rows.discrete:
        return rows
    centred = rows.values - rows.values.mean(0)
    return Rows(centred / rows.values.std(0) if standardise else centred, rows.truth, rows.names)


def sachs(cells: pa.Table, which: str, reference: str) -> Rows:
    """Logarithms of the 11 proteins: the 853 observational cells, or the 7,466 of the first nine experiments."""
    file = cells["file"].to_numpy()
    keep = file == 1 if which == "observational" else file <= 9
    values = np.log(np.stack([cells[name].to_numpy() for name in PROTEINS], 1)[keep])
    return Rows(values, from_edges(edges(cells, reference), PROTEINS), PROTEINS)


def own_rows(config: CausalValues, tables: Mapping[str, pa.Table]) -> Rows:
    """A user's own table, with the edges to judge by if a file of them is named.

    Raises:
        DataError: see `own.columns_of`, `own.read_edges` and `checked`.
    """
    values, names, discrete = own.columns_of(tables, config.ignore, config.kind)
    truth = None if config.truth is None else own.read_edges(config.truth, names)
    rows = Rows(values, truth, names, discrete)
    checked(rows, False)
    if discrete and config.score != "bic":
        raise DataError(f"the columns are discrete, which causal.score = {config.score} cannot use; set bic.")
    if config.score in ("discrete_bic", "bdeu") and len(names) > TABLE:
        raise DataError(f"causal.score = {config.score} tabulates 2^d parent sets: found {len(names)} columns, at most"
                        f" {TABLE} are possible; use bic.")  # fmt: skip
    if len(names) > MOST:
        raise DataError(f"found {len(names)} columns; at most {MOST} are possible: leave some out with causal.ignore.")
    return rows


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
        self._growing = [] if self._tables or config.score != "bic" else [self._grown(i) for i in range(len(data))]
        self._optima = [table.optimum() for table in self._tables]
        self.cost: Cost = self._cost(like)

    def _parent_tables(self) -> list[tables.ParentTable]:
        config = self._config
        match config.score:
            case "least_squares" | "joint":
                return []
            case "bic" if self.n > TABLE or self._data[0].discrete:
                return []
            case "bic":
                found = zip(self._covariances, self._data, strict=True)
                return [tables.gaussian_bic(covariance, len(rows.values), config.penalty) for covariance, rows in found]
            case "discrete_bic":
                return [tables.discrete_bic(code, config.levels, config.penalty) for code in self._codes()]
            case "bdeu":
                return [tables.bdeu(code, config.levels, config.sample_size) for code in self._codes()]
            case _ as unknown:
                assert_never(unknown)

    def _grown(self, which: int) -> GrowShrink:
        rows, penalty = self._data[which], self._config.penalty
        if rows.discrete:
            return GrowShrink(MultinomialBic(rows.values.astype(np.int64), penalty))
        return GrowShrink(GaussianBic(self._covariances[which], len(rows.values), penalty))

    def _codes(self) -> list[npt.NDArray[np.int64]]:
        """Each data set cut at its quantiles."""
        return [levels_of(rows.values, self._config.levels) for rows in self._data]

    def _cost(self, like: Tensor) -> Cost:
        if self._tables:
            return _PerDataSet([tables.TableCost(table, like) for table in self._tables], self.n)
        if self._growing:
            return _PerDataSet([GrowShrinkCost(found, like) for found in self._growing], self.n)
        covariance = torch.tensor(np.stack(self._covariances), dtype=like.dtype, device=like.device)
        if self._config.score == "joint":
            own = covariance.expand(self.rows, -1, -1).contiguous()
            return Joint(own, self._config.weight_l1, self._config.weight_lr)
        return LeastSquares(covariance)

    def cost_with(self, others: Sequence[Problem]) -> Cost:
        if self._config.graph in ("sachs", "own"):
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
        if self._growing:
            return self._growing[which].graph(order)
        return regress(self._covariances[which], order, self._config.threshold)

    def _truths(self) -> list[Graph]:
        """The true graph of each run; none if they are not known."""
        return [truth for i in self._which if (truth := self._data[i].truth) is not None]

    def judged(self, orders: Sequence[Order], effects: bool = False) -> dict[str, Tensor]:
        """How far the graph of each run's order is from the truth; how many edges it has where there is none.

        Args:
            effects: the structural intervention distance too.
        """
        graphs, truths = [self.graph(run, order) for run, order in enumerate(orders)], self._truths()
        if not truths:
            return {"edges": torch.tensor([float(graph.sum()) for graph in graphs])}
        pairs = list(zip(graphs, truths, strict=True))
        found = [compare(graph, truth) for graph, truth in pairs]
        distances = torch.tensor([float(equivalence.sid(*pair)) for pair in pairs]) if effects else None
        return {
            **({} if distances is None else {"sid": distances}),
            **{name: _column(found, name) for name in ("shd", "fdr", "tpr", "fpr", "edges")},
            "skeleton_shd": torch.tensor([float(equivalence.skeleton_distance(*pair)) for pair in pairs]),
            "cpdag_shd": torch.tensor([float(equivalence.class_distance(*pair)) for pair in pairs]),
        }

    def measure(self, best: Tensor, mode: Tensor, theta: Tensor, last: bool = False) -> Mapping[str, Tensor]:
        scores = self.judged(list(best.cpu().numpy()), last)
        if "shd" in scores:
            scores["shd_mode"] = self.judged(list(mode.cpu().numpy()))["shd"]
        if self._optima:
            scores["excess"] = self._excess(best)
        return scores

    def _excess(self, order: Tensor) -> Tensor:
        """The cost of each run's order above the exact optimum, (runs,); rounding errors count as 0."""
        optimum = torch.tensor([self._optima[i][0] for i in self._which], dtype=torch.float64)
        above = self.cost(order.unsqueeze(1)).squeeze(1).cpu().double() - optimum
        size = max(len(rows.values) for rows in self._data)  # of the terms that the cost is the sum of
        rounding = 8 * torch.finfo(self._dtype).eps * (optimum.abs() + size)
        return torch.where(above > rounding, above, torch.zeros_like(above))

    def pictures(self, best: Tensor, order: Tensor, draws: Tensor) -> Mapping[str, pa.Table]:
        """`graphs`: every edge that a run's graph, its truth, or a draw of its learnt distribution has.

        `found`: in the best order's graph; `class`: "->" or "--" in its equivalence class; `probability`: the share of
        the learnt distribution's orders whose graph has the edge in this direction.
        """
        rows, truths = [], self._truths()
        for run, listed in enumerate(order.cpu().numpy()):
            found, names = self.graph(run, listed), self._data[self._which[run]].names
            share = np.mean([self.graph(run, one) for one in draws[run].cpu().numpy()], 0)
            truth = truths[run] if truths else np.zeros_like(found)
            marks = equivalence.cpdag(found)
            for i, j in np.argwhere(found | truth | (share > 0)):
                rows.append({"run": run, "source": names[i], "target": names[j],
                             "found": bool(found[i, j]), "true": bool(truth[i, j]) if truths else None,
                             "class": "" if not found[i, j] else "--" if marks[j, i] else "->",
                             "probability": float(share[i, j])})  # fmt: skip
        graphs = {"graphs": pa.Table.from_pylist(rows)} if rows else {}
        return {**graphs, "variables": self._variables(best, order)}

    def _variables(self, best: Tensor, order: Tensor) -> pa.Table:
        """The names of each run's best order, first causes first."""
        return pa.Table.from_pylist(
            [{"run": run, "place": place, "variable": self._data[self._which[run]].names[node], "best": value,
              "penalty": self._config.penalty}
             for run, (listed, value) in enumerate(zip(order.tolist(), best.tolist(), strict=True))
             for place, node in enumerate(listed)]
        )  # fmt: skip

    def controls(self, budget: int, runs: int, generator: torch.Generator) -> Iterable[Control]:
        searches = list(self.searches(budget, generator))
        if self._tables or self._growing:
            searches.append(("boss", best_order_score(self.cost, len(self._which), budget, generator)))
        for name, found in searches:
            yield from self._controls(name, list(found.order.numpy()), found.evaluations)
        which = self._which
        fixed = {
            "random_order": [torch.rand(self.n, generator=generator).argsort().numpy() for _ in which],
            "variance_sorting": [np.diag(self._covariances[i]).argsort() for i in which],
            "greedy_order": [greedy_order(self._covariances[i]) for i in which],
        }
        if truths := self._truths():
            fixed["true_order"] = [topological(truth) for truth in truths]
        if self._optima:
            fixed["exact_optimum"] = [self._optima[i][1] for i in which]
        for name, orders in fixed.items():
            yield from self._controls(name, orders, 0)

    def _controls(self, name: str, orders: list[Order], evaluations: int) -> Iterable[Control]:
        tensor = torch.from_numpy(np.stack(orders)).to(self.device)
        yield Control(name, self.cost(tensor.unsqueeze(1)).squeeze(1).cpu(), "cost", evaluations)
        judged = self.judged(orders, effects=True)
        for metric in ("shd", "skeleton_shd", "cpdag_shd", "sid"):
            if metric in judged:
                yield Control(name, judged[metric], metric, evaluations)
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
