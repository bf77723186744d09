"""Layers beside scipy and enumeration, losses beside slow sums."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.optimize import isotonic_regression, linear_sum_assignment, minimize

from raybayes.errors import SpecError
from trainables.permutations.layers import LAYERS, neuralsort, sinkhorn, soft_rank, soft_sort, softsort
from trainables.permutations.losses import LOSSES
from trainables.permutations.queries import Queries

F64 = torch.float64


def drawn(*shape, seed=0):
    return torch.randn(*shape, dtype=F64, generator=torch.Generator().manual_seed(seed))


def projected(z, w):
    """Onto the permutahedron of w, by scipy's isotonic regression."""
    order = np.argsort(-z)
    fitted = isotonic_regression(z[order] - np.sort(w)[::-1], increasing=False).x
    found = np.empty_like(z)
    found[order] = fitted
    return z - found


@pytest.mark.parametrize("strength", [0.1, 1.0, 10.0])
def test_soft_ranks_and_sorting_are_projections(strength):
    x = drawn(20, 7)
    ranks, values = soft_rank(x, strength), soft_sort(x, strength)
    rho = np.arange(7, 0, -1.0)
    for row, rank, value in zip(x.numpy(), ranks.numpy(), values.numpy(), strict=True):
        np.testing.assert_allclose(rank, projected(row / strength, rho), atol=1e-12)
        np.testing.assert_allclose(value, -projected(rho / strength, -row), atol=1e-12)
    torch.testing.assert_close(ranks.sum(-1), torch.full((20,), 28.0, dtype=F64))
    torch.testing.assert_close(values.sum(-1), x.sum(-1))


def test_the_projection_is_the_nearest_mixture_of_all_orders():
    x = np.array([0.3, 0.1, 0.45])
    corners = np.array(list(itertools.permutations([1.0, 2.0, 3.0])))
    found = minimize(
        lambda m: ((corners.T @ m - x / 0.5) ** 2).sum(), np.full(6, 1 / 6), bounds=[(0, 1)] * 6,
        constraints={"type": "eq", "fun": lambda m: m.sum() - 1}, options={"ftol": 1e-14},
    )  # fmt: skip
    np.testing.assert_allclose(soft_rank(torch.tensor(x), 0.5).numpy(), corners.T @ found.x, atol=1e-4)


def test_soft_permutation_matrices_are_their_formulas():
    x = drawn(5)
    for i in range(5):
        scores = [(5 + 1 - 2 * (i + 1)) * float(a) - sum(abs(float(a - b)) for b in x) for a in x]
        weights = np.exp(np.array(scores) / 0.7)
        np.testing.assert_allclose(neuralsort(x, 0.7)[i].numpy(), weights / weights.sum())
        weights = np.exp([-abs(float(sorted(x, reverse=True)[i] - a)) / 0.7 for a in x])
        np.testing.assert_allclose(softsort(x, 0.7)[i].numpy(), weights / weights.sum())


def test_sinkhorn_scales_and_finds_the_assignment():
    scores = drawn(3, 5, 5)
    matrix = sinkhorn(scores, iterations=200)
    ones = torch.ones(3, 5, dtype=F64)
    torch.testing.assert_close(matrix.sum(-1), ones)
    torch.testing.assert_close(matrix.sum(-2), ones)
    ratio = (matrix / scores.exp()).log()  # the sum of a number for the row and one for the column
    torch.testing.assert_close(ratio, ratio.mean(-1, True) + ratio.mean(-2, True) - ratio.mean((-1, -2), True))
    for one in scores:
        _, column = linear_sum_assignment(-one.numpy())
        assert sinkhorn(one, 0.01, 500).argmax(-1).tolist() == column.tolist()


@pytest.mark.parametrize("name", LAYERS)
def test_layers_are_differentiable_twice_and_equal_row_by_row(name):
    x = drawn(2, 4, 4) if name == "sinkhorn" else drawn(2, 4)
    layer = LAYERS[name]
    together = layer(x)
    for row, alone in zip(x, together, strict=True):
        assert torch.equal(layer(row), alone)
    assert torch.autograd.gradcheck(layer, (x.requires_grad_(),))
    assert torch.autograd.gradgradcheck(layer, (x,))
    assert layer(x.detach().float()).dtype == torch.float32
    with pytest.raises(SpecError, match="must be above 0"):
        layer(x, 0.0)
    with pytest.raises(SpecError, match="floating point"):
        layer(torch.ones(3, 3, dtype=torch.long))


def test_layers_tend_to_hard_ranks_and_sorting():
    x = torch.tensor([0.3, -2.0, 5.0, 1.0], dtype=F64)
    assert soft_rank(x, 1e-3).tolist() == [2.0, 1.0, 4.0, 3.0]
    torch.testing.assert_close(soft_sort(x, 1e-3), x.sort().values)
    for layer in (neuralsort, softsort):
        torch.testing.assert_close(layer(x, 1e-3) @ x, x.sort(descending=True).values)


GRADES = [[0, 1], [2, 0, 1]]
MASK = torch.tensor([[True, True, False], [True, True, True]])
QUERIES = Queries(torch.zeros(2, 3, 1, dtype=F64), torch.tensor([[0.0, 1, 0], [2, 0, 1]], dtype=F64), MASK)


def slow(name, s, grades):
    """A query's loss by loops."""
    n, places = len(s), sorted(range(len(s)), key=lambda i: -s[i])
    ideal = sum((2**g - 1) / math.log2(k + 2) for k, g in enumerate(sorted(grades, reverse=True)))
    if name == "approx_ndcg":
        ranks = [1 + sum(1 / (1 + math.exp(-(s[j] - s[i]) / 0.1)) for j in range(n) if j != i) for i in range(n)]
        return -sum((2 ** grades[i] - 1) / math.log2(1 + ranks[i]) for i in range(n)) / ideal
    if name == "neural_ndcg":
        matrix = neuralsort(torch.tensor(s, dtype=F64)).numpy()
        for _ in range(20):
            matrix /= matrix.sum(1, keepdims=True)
            matrix /= matrix.sum(0, keepdims=True)
        return -sum((matrix @ (2.0 ** np.array(grades) - 1))[k] / math.log2(k + 2) for k in range(n)) / ideal
    total, rank = 0.0, {item: place + 1 for place, item in enumerate(places)}
    for i, j in itertools.permutations(range(n), 2):
        if grades[i] > grades[j]:
            apart = abs(rank[i] - rank[j])
            rho = abs(1 / math.log2(1 + rank[i]) - 1 / math.log2(1 + rank[j]))
            delta = 1 / math.log2(1 + apart) - 1 / math.log2(2 + apart)
            weight = (rho + 10 * delta) * (2 ** grades[i] - 2 ** grades[j]) / ideal
            total += weight * math.log1p(math.exp(-(s[i] - s[j])))
    return total


@pytest.mark.parametrize("name", ["approx_ndcg", "neural_ndcg", "lambdaloss"])
def test_losses_are_the_slow_sums_and_see_no_padding(name):
    raw = drawn(1, 2, 3)
    scores = torch.where(MASK, raw, -1e4).requires_grad_()
    value = LOSSES[name].of(scores, QUERIES)
    wanted = [slow(name, raw[0, q, : len(grades)].tolist(), grades) for q, grades in enumerate(GRADES)]
    assert float(value.detach()) == pytest.approx(sum(wanted) / 2)
    (gradient,) = torch.autograd.grad(value, scores)
    assert float(gradient[0, 0, 2]) == pytest.approx(0)
    assert torch.isfinite(gradient).all()
    assert float(gradient.abs().sum()) > 0
