"""The tasks: costs against their slow versions, relaxations against the hard cost, exact optima against enumeration."""

import itertools
import math
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import torch

from raybayes import data
from raybayes.errors import DataError
from trainables.permutations.config import CausalValues
from trainables.permutations.distributions.plackett_luce import all_orderings, permutation
from trainables.permutations.distributions.relaxations import permutation_matrix
from trainables.permutations.losses import LOSSES
from trainables.permutations.queries import Queries, ndcg
from trainables.permutations.tasks.causal import synthetic, tables
from trainables.permutations.tasks.causal.costs import Joint, LeastSquares
from trainables.permutations.tasks.causal.graphs import compare, find_cycle, from_edges, topological
from trainables.permutations.tasks.causal.problem import Causal, Rows, checked, greedy_order, levels_of, regress, sachs
from trainables.permutations.tasks.ranking import NdcgCost, Scorer
from trainables.permutations.tasks.searches import annealing, greedy_swaps, random_search
from trainables.permutations.tasks.tour_searches import (
    _Walk,
    lin_kernighan,
    local_search,
    nearest_neighbour,
    two_opt,
)
from trainables.permutations.tasks.toy import ToyCost
from trainables.permutations.tasks.tsp import Tour, TourCost, load_instance
from trainables.permutations.tsplib import read_tsplib

F64 = torch.float64
LIKE = torch.zeros(1, dtype=F64)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def covariance(d=5, seed=0, runs=1):
    rows = np.random.default_rng(seed).normal(size=(runs, 200, d)) @ np.random.default_rng(seed + 1).normal(size=(d, d))
    return torch.tensor(np.einsum("rmi,rmj->rij", rows, rows) / 200)


def costs():
    joint = Joint(covariance(), 0.1, 0.01)
    joint.weights.copy_(torch.randn(1, 5, 5, dtype=F64, generator=generator()))
    matrix = torch.rand(6, 6, dtype=F64, generator=generator())
    grades = torch.tensor([[0.0, 2.0, 1.0, 4.0, 0.0]], dtype=F64)
    tour = TourCost(matrix + matrix.T)
    return {"toy": ToyCost(5, 0.05, LIKE), "tour": tour, "ndcg": NdcgCost(grades, 3), "joint": joint}


@pytest.mark.parametrize("name", costs())
class TestRelaxedCosts:
    """Costs that extend to soft permutations."""

    def test_relaxed_is_the_hard_cost_on_permutations(self, name):
        cost = costs()[name]
        orders = all_orderings(cost.n).unsqueeze(0)
        relaxed, _ = cost.relaxed(permutation_matrix(orders, F64))
        assert torch.allclose(relaxed, cost(orders), atol=1e-12)

    def test_the_gradient_is_autograds(self, name):
        cost = costs()[name]
        matrix = torch.rand(1, 4, cost.n, cost.n, dtype=F64, generator=generator()).softmax(-1).requires_grad_()
        value, gradient = cost.relaxed(matrix)
        again = torch.autograd.grad(value.sum(), matrix, create_graph=True)[0]
        assert torch.allclose(gradient, again, atol=1e-12)
        direction = torch.randn(matrix.shape, dtype=F64, generator=generator(1))
        slope = (again * direction).sum()  # the Hessian is symmetric: its product with the direction
        bent = torch.autograd.grad(slope, matrix)[0] if slope.requires_grad else torch.zeros_like(matrix)
        assert torch.allclose(cost.bend(matrix, direction), bent, atol=1e-12)


class TestToy:
    """Closed form of the paper's toy."""

    def test_it_counts_fixed_points(self):
        cost = ToyCost(8, 0.05, LIKE)
        orders = torch.rand(1, 200, 8, generator=generator()).argsort(-1)
        fixed = (orders == torch.arange(8)).sum(-1)
        assert torch.allclose(cost(orders), 7.137142857 - 0.114285714 * fixed.double(), atol=1e-7)
        assert float(cost(torch.arange(8).reshape(1, 1, 8))) == pytest.approx(6.222857143)
        slow = (permutation_matrix(orders, F64) - cost.target).square().sum((-1, -2))
        assert torch.allclose(cost(orders), slow)

    def test_the_relaxed_optimum_is_no_permutation(self):
        cost = ToyCost(8, 0.05, LIKE)
        uniform = torch.full((1, 1, 8, 8), 1 / 8, dtype=F64)
        assert float(cost.relaxed(uniform)[0]) == pytest.approx(0.022857, abs=1e-6)
        assert float(cost.relaxed(cost.target.reshape(1, 1, 8, 8))[0]) == pytest.approx(0)


class TestTours:
    """Travelling salesmen."""

    def test_optimal_tours_have_the_published_length(self):
        for row in data.load("tsp-sample")["all"].to_pylist():
            distance = torch.tensor(row["distance"], dtype=F64).reshape(row["cities"], -1)
            tour = torch.tensor(row["tour"])
            turned = tour.roll(-1 - int((tour == row["cities"] - 1).nonzero()))  # the fixed city comes last
            assert float(TourCost(distance)(turned[:-1].reshape(1, 1, -1))) == row["optimum"]

    def test_cost_is_the_slow_sum(self):
        cost = costs()["tour"]
        for order in itertools.islice(itertools.permutations(range(5)), 0, 120, 7):
            cities = [*order, 5]
            slow = sum(float(cost.distance[a, b]) for a, b in zip(cities, cities[1:] + cities[:1], strict=True))
            assert float(cost(torch.tensor(order).reshape(1, 1, -1))) == pytest.approx(slow)

    def test_two_opt_is_near_the_optimum_and_keeps_its_budget(self):
        instance = load_instance("burma14", data.load("tsp-sample"), None)
        found = two_opt(torch.tensor(instance.distance), 5000, 3, generator())
        assert instance.optimum <= found.value.min() <= 1.03 * instance.optimum
        assert permutation.check(found.order).all()
        again = torch.tensor(instance.distance)[found.order, found.order.roll(-1, -1)].sum(-1)
        assert torch.allclose(again, found.value)
        assert found.evaluations == 5000

    @pytest.mark.parametrize("directed", [False, True])
    def test_local_search_keeps_its_budget_and_finds_the_shortest_tour(self, directed):
        distance = torch.randint(1, 100, (8, 8), generator=generator()).to(F64)
        distance = (distance if directed else distance + distance.T).fill_diagonal_(0)
        every = torch.cat([all_orderings(7), torch.full((5040, 1), 7)], 1)
        lengths = distance[every, every.roll(-1, -1)].sum(-1)
        starts = torch.stack([nearest_neighbour(distance, start) for start in range(4)])
        found, tours = local_search(distance, starts, [600] * 4, generator())
        assert found.tolist() == [lengths.min()] * 4
        assert found.tolist() == distance[tours, tours.roll(-1, -1)].sum(-1).tolist()
        few, same = local_search(distance, starts, [0] * 4, generator())
        assert torch.equal(same, starts)
        assert (few >= found).all()
        assert two_opt(distance, 3000, 2, generator()).value.min() == lengths.min()
        if (best := lin_kernighan(distance)) is not None:
            assert float(distance[best, best.roll(-1)].sum()) == lengths.min()

    def test_every_exchange_shortens_the_tour_by_what_it_says(self):
        for directed in (False, True):
            distance = torch.rand(30, 30, dtype=F64, generator=generator())
            distance = distance if directed else distance + distance.T
            walk = _Walk(distance, list(range(30)), 10_000, random.Random(0))
            length, tour = float(distance.diagonal(1).sum() + distance[-1, 0]), torch.arange(30)
            for step in range(300):
                found = walk._improve(step % 30) if step % 10 else walk._kick()
                tour = torch.tensor(walk.tour)
                now = float(distance[tour, tour.roll(-1)].sum())
                change = 0.0 if found is None else found[0] * (1 if step % 10 else -1)
                assert now == pytest.approx(length - change)
                assert [walk.tour[place] for place in walk.place] == list(range(30))
                length = now

    def test_tours_with_a_direction(self, tmp_path):
        distance = torch.rand(6, 6, dtype=F64, generator=generator())
        cost = TourCost(distance)
        order = all_orderings(5)[:20].unsqueeze(0)
        soft, gradient = cost.relaxed(permutation_matrix(order, F64))
        assert torch.allclose(soft, cost(order))
        matrix = torch.rand(1, 2, 5, 5, dtype=F64, generator=generator()).requires_grad_()
        value, gradient = cost.relaxed(matrix)
        (wanted,) = torch.autograd.grad(value.sum(), matrix, create_graph=True)
        assert torch.allclose(gradient, wanted)
        direction = torch.rand(1, 2, 5, 5, dtype=F64, generator=generator())
        (bent,) = torch.autograd.grad((wanted * direction).sum(), matrix)
        assert torch.allclose(cost.bend(matrix.detach(), direction), bent)

    def test_an_optimum_above_what_was_found_is_told(self):
        instance = load_instance("burma14", data.load("tsp-sample"), 4000.0)
        said = list(Tour(instance, 1, 1, LIKE).remarks(3323.0))
        assert len(said) == 1
        assert (
            "burma14 of length 3323, below tsp.optimum = 4000, which is not the optimum: all gaps are wrong" in said[0]
        )
        assert not list(Tour(instance, 1, 1, LIKE).remarks(4000.0))

    def test_unknown_instances_are_listed(self):
        with pytest.raises(DataError, match=r"a280 is not in this data set; it has burma14, bayg29, berlin52"):
            load_instance("a280", data.load("tsp-sample"), None)


COORDINATES = """NAME: tiny
TYPE: TSP
DIMENSION: 3
EDGE_WEIGHT_TYPE: {kind}
NODE_COORD_SECTION
1 0.0 0.0
2 3.0 4.0
3 0.0 8.6
EOF
"""
EXPLICIT = "NAME: tiny\nTYPE: TSP\nDIMENSION: 3\nEDGE_WEIGHT_TYPE: EXPLICIT\nEDGE_WEIGHT_FORMAT: {layout}\n" \
    "EDGE_WEIGHT_SECTION\n{numbers}\nEOF\n"  # fmt: skip


class TestTsplib:
    """The file format."""

    def written(self, tmp_path, text):
        path = tmp_path / "tiny.tsp"
        path.write_text(text)
        return path

    @pytest.mark.parametrize(
        ("kind", "expected"),
        [("EUC_2D", [5, 9, 5]), ("CEIL_2D", [5, 9, 6]), ("ATT", [2, 3, 2])],
    )
    def test_planar_rules(self, tmp_path, kind, expected):
        """|12| = 5, |13| = 8.6, |23| = 5.492; ATT divides by sqrt(10) = 3.162 and rounds up: 1.58, 2.72, 1.74."""
        found = read_tsplib(self.written(tmp_path, COORDINATES.format(kind=kind))).distance
        assert [found[0, 1], found[0, 2], found[1, 2]] == expected
        assert (found == found.T).all()

    def test_geographical_rule(self, tmp_path):
        """burma14's first two cities, and its optimum through the data set's matrix."""
        text = COORDINATES.format(kind="GEO").replace("1 0.0 0.0", "1 16.47 96.10")
        text = text.replace("2 3.0 4.0", "2 16.47 94.44")
        distance = load_instance("burma14", data.load("tsp-sample"), None).distance
        assert read_tsplib(self.written(tmp_path, text)).distance[0, 1] == distance[0, 1] == 153

    @pytest.mark.parametrize(
        ("layout", "numbers"),
        [("FULL_MATRIX", "0 1 2 1 0 3 2 3 0"), ("UPPER_ROW", "1 2\n3"), ("LOWER_ROW", "1\n2 3"),
         ("UPPER_DIAG_ROW", "0 1 2 0 3 0"), ("LOWER_DIAG_ROW", "0 1 0 2 3 0")],
    )  # fmt: skip
    def test_explicit_layouts(self, tmp_path, layout, numbers):
        found = read_tsplib(self.written(tmp_path, EXPLICIT.format(layout=layout, numbers=numbers)))
        assert found.distance.tolist() == [[0, 1, 2], [1, 0, 3], [2, 3, 0]]
        assert (found.name, found.optimum) == ("tiny", None)

    def test_distances_with_a_direction(self, tmp_path):
        text = EXPLICIT.format(layout="FULL_MATRIX", numbers="-1 1 2 5 9999 3 4 6 0").replace(": TSP", ": ATSP")
        found = read_tsplib(self.written(tmp_path, text)).distance
        assert found.tolist() == [[0, 1, 2], [5, 0, 3], [4, 6, 0]]

    @pytest.mark.parametrize(
        ("text", "message"),
        [
            (COORDINATES.format(kind="XRAY1"), "found EDGE_WEIGHT_TYPE 'XRAY1'; supported: EXPLICIT, EUC_2D"),
            (COORDINATES.format(kind="EUC_2D").replace("3 0.0 8.6\n", ""), "has 2 rows; DIMENSION 3 requires 3 rows"),
            (COORDINATES.format(kind="EUC_2D").replace("3 0.0 8.6", "3 0.0"), "has 2 numbers in row 3"),
            (COORDINATES.format(kind="EUC_2D").replace("3 0.0 8.6", "2 0.0 8.6"), "number its cities 1 to 3"),
            (COORDINATES.format(kind="EUC_2D").replace("8.6", "eight"), "must hold numbers only"),
            (COORDINATES.format(kind="EUC_2D").replace("DIMENSION: 3", "DIMENSION: x"), "DIMENSION 'x'"),
            (COORDINATES.format(kind="EUC_2D").replace("DIMENSION: 3", "DIMENSION: 2"), "at least 3 cities"),
            (
                COORDINATES.format(kind="EUC_2D").replace("TYPE: TSP", "TYPE: CVRP", 1),
                "found TYPE CVRP",
            ),
            (COORDINATES.format(kind="EUC_2D").replace("TYPE: TSP", "TYPE: ATSP", 1), "found EUC_2D ; TYPE ATSP needs"),
            (COORDINATES.format(kind="EUC_2D").partition("NODE")[0], "there is no NODE_COORD_SECTION, which EUC_2D"),
            (EXPLICIT.format(layout="UPPER_COL", numbers="1"), "FORMAT 'UPPER_COL'; supported: FULL_MATRIX"),
            (EXPLICIT.format(layout="UPPER_ROW", numbers="1 2"), "has 2 numbers; UPPER_ROW of DIMENSION 3 requires 3"),
            (
                EXPLICIT.format(layout="FULL_MATRIX", numbers="0 1 2 1 0 3 2 4 0"),
                "not symmetric; distances with a direction",
            ),
        ],
    )
    def test_broken_files(self, tmp_path, text, message):
        with pytest.raises(DataError, match=message):
            read_tsplib(self.written(tmp_path, text))

    def test_missing_file(self):
        with pytest.raises(DataError, match=r"nowhere.tsp: cannot be read .* name a TSPLIB file"):
            read_tsplib(Path("nowhere.tsp"))


class TestGraphs:
    """Directed graphs."""

    def test_a_reversal_counts_once(self):
        truth = np.zeros((4, 4), dtype=bool)
        truth[0, 1] = truth[1, 2] = truth[2, 3] = True
        found = np.zeros((4, 4), dtype=bool)
        found[0, 1] = found[2, 1] = found[0, 3] = True  # right, reversed, surplus; 2 -> 3 is missing
        distance = compare(found, truth)
        assert (distance.shd, distance.edges) == (3, 3)
        assert (distance.fdr, distance.tpr, distance.fpr) == pytest.approx((2 / 3, 1 / 3, 2 / 3))
        assert compare(truth, truth).shd == 0

    def test_a_cyclic_reference_is_refused_with_its_cycle(self):
        with pytest.raises(DataError, match=r"the cycle b -> c -> d -> b, so no order"):
            from_edges([("a", "b"), ("b", "c"), ("c", "d"), ("d", "b")], "abcd")
        with pytest.raises(DataError, match=r"a -> z has an unknown variable"):
            from_edges([("a", "z")], "abcd")

    def test_acyclic_graphs_have_an_order(self):
        graph = from_edges([("a", "b"), ("c", "b"), ("b", "d")], "abcd")
        assert find_cycle(graph) is None
        place = {node: i for i, node in enumerate(topological(graph).tolist())}
        assert all(place[i] < place[j] for i, j in np.argwhere(graph))

    @pytest.mark.parametrize("kind", ["er", "sf", "bp"])
    def test_synthetic_graphs_are_acyclic(self, kind):
        for seed in range(5):
            graph = synthetic.random_graph(kind, 20, 40, np.random.default_rng(seed))
            assert find_cycle(graph) is None
            assert graph.sum() == 40 if kind != "sf" else 30 < graph.sum() <= 40

    @pytest.mark.parametrize("noise", ["normal", "exp", "gumbel", "uniform", "logistic"])
    def test_rows_follow_the_equations(self, noise):
        draw = synthetic.draw("er", 6, 8, 4000, noise, np.random.default_rng(0))
        residual = draw.rows - draw.rows @ draw.weights
        correlation = np.corrcoef(residual.T) - np.eye(6)
        assert np.abs(correlation).max() < 0.08
        weights = np.abs(draw.weights[draw.truth])
        assert weights.min() >= 0.5
        assert weights.max() <= 2


class TestCausalCosts:
    """Costs of orders."""

    def test_least_squares_is_the_sum_of_residual_variances(self):
        matrix = covariance()
        cost, numpy_matrix = LeastSquares(matrix), matrix[0].numpy()
        for order in itertools.islice(itertools.permutations(range(5)), 0, 120, 11):
            slow = 0.0
            for place, node in enumerate(order):
                before = list(order[:place])
                cross = numpy_matrix[before, node]
                slow += numpy_matrix[node, node]
                slow -= cross @ np.linalg.solve(numpy_matrix[np.ix_(before, before)], cross) if before else 0.0
            assert float(cost(torch.tensor(order).reshape(1, 1, -1))) == pytest.approx(slow / 2)

    def test_free_variances_cannot_tell_orders_apart(self):
        """The trap: with free noise variances and no penalty, the Gaussian likelihood is the same for every order."""
        matrix = covariance(4)[0]
        orders = all_orderings(4)
        permuted = matrix[orders.unsqueeze(-1), orders.unsqueeze(-2)]
        logs = torch.linalg.cholesky(permuted).diagonal(dim1=-2, dim2=-1).square().log().sum(-1)
        assert logs.std() < 1e-12

    def test_joint_is_its_formula_and_learns_least_squares(self):
        rows = np.random.default_rng(0).normal(size=(300, 3)) @ np.array([[1, 0.8, 0], [0, 1, -0.5], [0, 0, 1.0]])
        matrix = torch.tensor(rows.T @ rows / 300).unsqueeze(0)
        cost = Joint(matrix, 0.0, 0.05)
        order = torch.tensor([[[2, 0, 1]]])
        for _ in range(2000):
            cost.learn(order)
        weights = cost.weights[0].numpy() * np.array([[0, 1, 0], [0, 0, 0], [1, 1, 0.0]])  # 2 first, then 0, then 1
        slow = 0.5 / 300 * ((rows - rows @ weights) ** 2).sum()
        assert float(cost(order)) == pytest.approx(slow)
        assert float(cost(order)) == pytest.approx(float(LeastSquares(matrix)(order)), abs=1e-6)

    def slow_bic(self, rows, node, parents):
        m = len(rows)
        columns = [rows[:, p] for p in parents]
        residual = rows[:, node]
        if columns:
            design = np.stack(columns, 1)
            residual = residual - design @ np.linalg.lstsq(design, residual, rcond=None)[0]
        return m / 2 * math.log((residual**2).mean()) + len(parents) / 2 * math.log(m)

    def slow_discrete(self, codes, node, parents, sample_size):
        """BIC (sample_size None) or BDeu, by loops over parent configurations."""
        m, r = len(codes), 3
        score = 0.0
        for config in itertools.product(range(r), repeat=len(parents)):
            rows = np.ones(m, bool)
            for p, c in zip(parents, config, strict=True):
                rows &= codes[:, p] == c
            counts = [int((codes[rows, node] == k).sum()) for k in range(r)]
            total = sum(counts)
            if sample_size is None:
                score -= sum(c * math.log(c / total) for c in counts if c)
            else:
                a = sample_size / r ** len(parents)
                score -= math.lgamma(a) - math.lgamma(a + total)
                score -= sum(math.lgamma(a / r + c) - math.lgamma(a / r) for c in counts)
        return score + (0.0 if sample_size else (r - 1) * r ** len(parents) / 2 * math.log(m))

    @pytest.mark.parametrize("score", ["bic", "discrete_bic", "bdeu"])
    def test_tables_are_the_slow_scores_and_the_optimum_is_enumerated(self, score):
        rows = np.random.default_rng(3).normal(size=(120, 4)) @ np.random.default_rng(4).normal(size=(4, 4))
        rows -= rows.mean(0)
        codes = levels_of(rows, 3)
        table, slow = {
            "bic": (lambda: tables.gaussian_bic(rows.T @ rows / 120, 120), lambda j, s: self.slow_bic(rows, j, s)),
            "discrete_bic": (lambda: tables.discrete_bic(codes, 3), lambda j, s: self.slow_discrete(codes, j, s, None)),
            "bdeu": (lambda: tables.bdeu(codes, 3, 10.0), lambda j, s: self.slow_discrete(codes, j, s, 10.0)),
        }[score]
        found = table()
        values = []
        for order in itertools.permutations(range(4)):
            total = 0.0
            for place, node in enumerate(order):
                before = order[:place]
                sets = itertools.chain.from_iterable(itertools.combinations(before, k) for k in range(place + 1))
                total += min(slow(node, subset) for subset in sets)
            values.append(total)
        orders = all_orderings(4)
        assert tables.TableCost(found, LIKE)(orders.unsqueeze(0))[0].tolist() == pytest.approx(values)
        lowest, order = found.optimum()
        assert lowest == pytest.approx(min(values))
        assert float(tables.TableCost(found, LIKE)(torch.from_numpy(order).reshape(1, 1, -1))) == pytest.approx(lowest)
        graph = found.graph(order)
        again = sum(slow(j, tuple(np.flatnonzero(graph[:, j]))) for j in range(4))
        assert again == pytest.approx(lowest)

    def test_greedy_and_regression_recover_an_equal_variance_graph(self):
        draw = synthetic.draw("er", 8, 8, 4000, "normal", np.random.default_rng(1))
        matrix = draw.rows.T @ draw.rows / 4000
        assert compare(regress(matrix, greedy_order(matrix), 0.3), draw.truth).shd == 0


class TestCausalData:
    """What data may be."""

    def rows(self, values):
        d = values.shape[1]
        return Rows(values, np.zeros((d, d), dtype=bool), tuple("abcdefgh"[:d]))

    def test_constant_columns_are_named(self):
        values = np.random.default_rng(0).normal(size=(20, 3))
        values[:, 1] = 7.0
        with pytest.raises(DataError, match=r"constant columns \(b\)"):
            checked(self.rows(values), False)

    def test_numbers_that_are_not_finite_are_named(self):
        values = np.random.default_rng(0).normal(size=(20, 3))
        values[4, 2] = np.nan
        with pytest.raises(DataError, match="not finite in c"):
            checked(self.rows(values), False)

    def test_standardised_columns_have_variance_one(self):
        values = np.random.default_rng(0).normal(size=(50, 3)) * [1, 5, 9] + 3
        assert checked(self.rows(values), True).values.var(0) == pytest.approx([1, 1, 1])

    def test_sachs_has_its_optimum_by_dynamic_programming(self):
        cells = data.load("sachs-sample")["all"]
        rows = sachs(cells, "observational", "reported17")
        problem = Causal(CausalValues(graph="sachs", score="bic"), [rows], 2, 1, LIKE)
        lowest, order = problem._optima[0]
        assert float(problem.cost(torch.from_numpy(order).expand(2, 1, -1))[0]) == pytest.approx(lowest)
        best = torch.from_numpy(order).expand(2, -1)
        metrics = problem.measure(best, best, LIKE)
        assert metrics["excess"].tolist() == [0, 0]
        assert 0 < float(metrics["shd"].mean()) < 25

    def test_the_cyclic_reference_is_refused(self):
        cells = pa.table({name: [1.0] for name in ("raf",)}).replace_schema_metadata(
            {"cdt18": '[["plcg", "pip2"], ["pip2", "pip3"], ["pip3", "plcg"]]'}
        )
        with pytest.raises(DataError, match="has the cycle plcg -> pip2 -> pip3 -> plcg"):
            from_edges(data.edges(cells, "cdt18"), ("plcg", "pip2", "pip3"))


class TestRanking:
    """Documents."""

    def test_ndcg_is_the_slow_sum(self):
        grades = torch.tensor([3.0, 0.0, 2.0, 1.0], dtype=F64)
        for order in itertools.permutations(range(4)):
            dcg = sum((2 ** float(grades[item]) - 1) / math.log2(rank + 2) for rank, item in enumerate(order[:3]))
            ideal = 7 / math.log2(2) + 3 / math.log2(3) + 1 / math.log2(4)
            assert float(ndcg(torch.tensor(order), grades, 3)) == pytest.approx(dcg / ideal)
            cost = NdcgCost(grades.unsqueeze(0), 3)(torch.tensor(order).reshape(1, 1, -1))
            assert float(cost) == pytest.approx(-dcg / ideal)

    def table(self):
        features = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(14.0, dtype=np.float32)), 2)
        return pa.table({"query_id": [5, 5, 7, 7, 7, 9, 9], "relevance": [0, 1, 2, 0, 1, 0, 0], "features": features})

    def test_queries_without_relevant_documents_are_dropped_and_the_rest_padded(self):
        queries = Queries.of(self.table(), LIKE)
        assert queries.mask.tolist() == [[True, True, False], [True, True, True]]
        assert queries.relevance.tolist() == [[0, 1, 0], [2, 0, 1]]
        with pytest.raises(DataError, match="no query has a relevant document"):
            Queries.of(self.table().slice(5), LIKE)

    def test_padding_comes_last_and_learns_nothing(self):
        queries = Queries.of(self.table(), LIKE)
        scorer = Scorer(queries, 3, 0, 0.1, generator())
        theta = scorer.theta()
        assert theta.shape == (6, 3)
        assert (theta.argsort(-1, descending=True)[0::2, -1] == 2).all()
        gradient = torch.zeros_like(theta)
        gradient[0, 2] = 1.0  # at padding
        assert all((part == 0).all() for part in scorer.backward(theta, gradient))

    def test_surrogates_are_the_slow_sums(self):
        queries = Queries.of(self.table(), LIKE)
        raw = torch.randn(1, 2, 3, dtype=F64, generator=generator())
        scores = torch.where(queries.mask, raw, -1e4)
        net = mle = rank = 0.0
        for q, grades in enumerate([[0, 1], [2, 0, 1]]):
            s = scores[0, q, : len(grades)].tolist()
            top, target = [math.exp(x) for x in s], [math.exp(g) for g in grades]
            net -= sum(t / sum(target) * math.log(x / sum(top)) for t, x in zip(target, top, strict=True))
            order = sorted(range(len(grades)), key=lambda i: -grades[i])
            mle -= sum(s[i] - math.log(sum(top[j] for j in order[k:])) for k, i in enumerate(order))
            places = sorted(range(len(s)), key=lambda i: -s[i])
            disc = {item: 1 / math.log2(place + 2) for place, item in enumerate(places)}
            ideal = sum((2 ** grades[i] - 1) / math.log2(k + 2) for k, i in enumerate(order))
            for i, j in itertools.permutations(range(len(grades)), 2):
                if grades[i] > grades[j]:
                    change = abs((2 ** grades[i] - 2 ** grades[j]) * (disc[i] - disc[j])) / ideal
                    rank += change * math.log1p(math.exp(-(s[i] - s[j])))
        assert float(LOSSES["listnet"].of(scores, queries)) == pytest.approx(net / 2)
        assert float(LOSSES["listmle"].of(scores, queries)) == pytest.approx(mle / 2)
        assert float(LOSSES["lambdarank"].of(scores, queries)) == pytest.approx(rank / 2)


class TestSearchesWithoutGradient:
    """The controls."""

    @pytest.mark.parametrize("method", [random_search, greedy_swaps, annealing])
    @pytest.mark.parametrize("budget", [1, 7, 3000])
    def test_they_keep_their_budget_and_report_what_they_found(self, method, budget):
        calls = []

        class Counted(ToyCost):
            def __call__(self, order):
                calls.append(order.shape[1])
                return super().__call__(order)

        cost = Counted(6, 0.1, LIKE)
        found = method(cost, 3, budget, generator())
        assert sum(calls) == found.evaluations <= budget
        assert permutation.check(found.order).all()
        assert torch.allclose(cost(found.order.unsqueeze(1)).squeeze(1), found.value)
        if budget == 3000:
            assert (found.value <= ToyCost(6, 0.1, LIKE)(torch.arange(6).reshape(1, 1, 6)).item() + 0.25).all()

    def test_annealing_reverses_segments_of_tours(self):
        instance = load_instance("burma14", data.load("tsp-sample"), None)
        cost = TourCost(torch.tensor(instance.distance))
        found = annealing(cost, 4, 4000, generator(), moves="reverse")
        assert found.value.min() <= 1.05 * instance.optimum


def test_tsplib_names_the_line_of_a_number_that_is_not_finite(tmp_path):
    path = tmp_path / "nan.tsp"
    path.write_text(
        "NAME: nan\nTYPE: TSP\nDIMENSION: 4\nEDGE_WEIGHT_TYPE: EUC_2D\nNODE_COORD_SECTION\n1 0 0\n2 nan 1\n3 1 1\n"
        "4 1 0\nEOF\n"
    )
    with pytest.raises(DataError, match=r"nan\.tsp, line 7: found nan; coordinates and distances must be finite"):
        read_tsplib(path)
