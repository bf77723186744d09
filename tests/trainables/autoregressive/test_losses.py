"""Losses against hand values, limits and finite differences."""

import math

import pytest
import torch

from trainables.autoregressive.losses import LOSSES, SCALED, Cells, cell_losses, shifted, target_column, transformed

S = torch.tensor([[2.0, 1.0, 0.0, -1.0]], dtype=torch.float64)
C = torch.tensor([[0.5, 0.1, 0.3, 0.9]], dtype=torch.float64)
ALL = torch.ones(1, 4, dtype=torch.bool)
THREE = torch.tensor([[True, True, True, False]])


def cells(scores=S, costs=C, mask=ALL, all_scores=None):
    moved = shifted(costs, mask)
    return Cells(scores, moved, mask, target_column(moved, mask, torch.zeros_like(moved)), all_scores)


@pytest.mark.parametrize(
    ("name", "scale", "mask", "value"),
    [
        ("ll", 1, ALL, 1.440190),
        ("kl", 1, ALL, 1.796532),
        ("kl", 10, ALL, 1.542176),
        ("llcas", 1, ALL, 1.758844),
        ("llcas", 10, ALL, 6.319977),
        ("hinge", 1, ALL, 1.4),
        ("hinge", 10, ALL, 6.0),
        ("inv-kl", 1, ALL, 0.430963),
        ("inv-kl", 10, ALL, 2.202100),
        ("js", 1, ALL, 0.104110),
        ("js", 10, ALL, 0.298223),
        ("l2", 1, ALL, 4.76),
        ("l2", 10, ALL, 26.0),
        ("risk", 1, ALL, 0.400641 - 0.1),  # the hand value has unshifted costs, whose least is 0.1
        ("ll", 1, THREE, 1.407606),
        ("kl", 10, THREE, 1.509040),
        ("rank-logistic", 1, ALL, 4.242228),
        ("rank-margin", 1, ALL, 3.6),
        ("listmle", 1, ALL, 3.658623),
    ],
)
def test_hand_values(name, scale, mask, value):
    found = cell_losses(name, cells(mask=mask), scale, top=4)
    assert float(found) == pytest.approx(value, abs=2e-6)


def test_ll_all_is_the_cross_entropy_over_the_vocabulary():
    everything = torch.randn(3, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    index = torch.tensor([[1, 4, 7]] * 3)
    costs = torch.tensor([[0.5, 0.0, 0.2], [0.0, 0.3, 0.2], [0.9, 0.5, 0.1]], dtype=torch.float64)
    mask = torch.ones(3, 3, dtype=torch.bool)
    found = cell_losses("ll-all", cells(everything.gather(1, index), costs, mask, everything))
    wanted = torch.nn.functional.cross_entropy(everything, torch.tensor([4, 1, 7]), reduction="none")
    assert torch.allclose(found, wanted)


def some(n=5, k=6, seed=0):
    g = torch.Generator().manual_seed(seed)
    scores, costs = (torch.randn(n, k, generator=g, dtype=torch.float64) for _ in range(2))
    mask = torch.rand(n, k, generator=g) < 0.7
    mask[:, 0] = True
    return scores, costs.abs(), mask


def full(name):
    return (
        torch.randn(5, 9, generator=torch.Generator().manual_seed(3), dtype=torch.float64) if name == "ll-all" else None
    )


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("scale", [0.7, 5.0])
def test_gradients_by_finite_differences(name, scale):
    scores, costs, mask = some()
    scores.requires_grad_()
    everything = full(name)

    def loss(s):
        return cell_losses(name, cells(s, costs, mask, everything), scale, top=3)

    assert torch.autograd.gradcheck(loss, (scores,), atol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_untried_tokens_get_no_gradient(name):
    scores, costs, mask = some(seed=1)
    scores.requires_grad_()
    costs = costs.masked_fill(~mask, torch.inf)  # what the reference code writes there must not leak
    cell_losses(name, cells(scores, costs, mask, full(name)), 2.0, top=3).sum().backward()
    assert scores.grad.isfinite().all()
    assert (scores.grad[~mask] == 0).all()
    assert scores.grad[mask].abs().sum() > 0


@pytest.mark.parametrize("name", LOSSES)
def test_a_constant_added_to_the_costs_changes_nothing(name):
    scores, costs, mask = some(seed=2)
    one = cell_losses(name, cells(scores, costs, mask, full(name)), 3.0, top=2)
    other = cell_losses(name, cells(scores, costs + 17, mask, full(name)), 3.0, top=2)
    assert torch.allclose(one, other, atol=1e-10)


def test_limits_of_the_cost_scale():
    scores, costs, mask = some(seed=3)
    at = cells(scores, costs, mask)
    ll = cell_losses("ll", at)
    assert torch.allclose(cell_losses("kl", at, 1e6), ll)
    assert torch.allclose(cell_losses("llcas", at, 0.0), ll)
    logs = torch.log_softmax(scores.masked_fill(~mask, -torch.inf), 1).masked_fill(~mask, 0)
    assert torch.allclose(cell_losses("kl", at, 0.0), -logs.sum(1) / mask.sum(1))
    assert torch.allclose(cell_losses("listmle", at, top=1), ll)


@pytest.mark.parametrize("name", sorted(set(LOSSES) - set(SCALED)))
def test_the_scale_does_not_occur_in_the_others(name):
    scores, costs, mask = some(seed=4)
    at = cells(scores, costs, mask, full(name))
    assert torch.equal(cell_losses(name, at, 1.0), cell_losses(name, at, 50.0))


@pytest.mark.parametrize("name", SCALED)
def test_the_scale_matters_where_it_is_said_to(name):
    at = cells(*some(seed=4))
    assert not torch.allclose(cell_losses(name, at, 1.0), cell_losses(name, at, 50.0))


def test_transforms():
    costs = torch.tensor([[0.3, 0.1, 0.3, 0.9, 0.0]], dtype=torch.float64)
    mask = torch.tensor([[True, True, True, True, False]])
    moved = shifted(costs, mask)
    assert moved.tolist()[0] == pytest.approx([0.2, 0, 0.2, 0.8, 0])
    assert transformed(moved, mask, "ranks").tolist() == [[1, 0, 1, 2, 0]]
    assert transformed(moved, mask, "best-vs-rest").tolist() == [[1, 0, 1, 1, 0]]
    assert transformed(moved, mask, "raw") is moved


def test_ties_are_broken_by_the_noise():
    costs, mask = torch.zeros(1, 3, dtype=torch.float64), torch.tensor([[True, True, False]])
    for best in range(2):
        noise = torch.full((1, 3), 1e-5, dtype=torch.float64)
        noise[0, best] = -1e-5
        assert target_column(costs, mask, noise).item() == best
    assert math.isfinite(float(cell_losses("kl", cells(costs=costs, scores=costs, mask=mask), 1e6)))
