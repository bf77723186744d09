"""Which cells and tokens are tried: every mode by its definition, repeatable, independent of the batch."""

from typing import get_args

import pytest
import torch

from tests.trainables.autoregressive import slow
from trainables.autoregressive.config import TokenMode
from trainables.autoregressive.draws import Draws
from trainables.autoregressive.rollouts.rollin import drawn, ground_truth
from trainables.autoregressive.rollouts.sampling import TokenChoice, choose_cells, choose_tokens

V, SENTENCES = 12, [[1, 2, 3, 4, 5, 6], [7, 8], [0, 9, 10, 9]]


def setting(fixed=False):
    refs = slow.refs_of(SENTENCES, V - 1)
    rolled = ground_truth(refs)
    row, time = choose_cells(rolled, 100, fixed, Draws(0), torch.arange(3))
    scores = 2 * torch.randn(len(row), V, generator=torch.Generator().manual_seed(0))
    return refs, rolled, row, time, scores, slow.limits_of(refs, fixed=fixed)


def tried(choice, fixed=False, seed=0):
    refs, rolled, row, time, scores, limits = setting(fixed)
    found = choose_tokens(choice, rolled, row, time, scores, refs, limits, Draws(seed), torch.arange(3))
    sets = []
    for tokens, mask in zip(found.tokens.tolist(), found.mask.tolist(), strict=True):
        shown = [token for token, there in zip(tokens, mask, strict=True) if there]
        assert len(shown) == len(set(shown)), "duplicates collapse"
        sets.append(set(shown))
    truth = refs.tokens[row, time].tolist()
    return sets, truth, list(zip(row.tolist(), time.tolist(), strict=True)), scores


def test_all_and_topk():
    sets, *_ = tried(TokenChoice("all"))
    assert all(each == set(range(V)) for each in sets)
    sets, _, _, scores = tried(TokenChoice("topk", k=3))
    assert sets == [set(row) for row in scores.topk(3, 1).indices.tolist()]


def test_neighbours_are_those_of_the_ground_truth():
    sets, _, cells, _ = tried(TokenChoice("neighbours", reach=2))
    for shown, (b, t) in zip(sets, cells, strict=True):
        around = [max(t + d, 0) for d in range(-2, 3)]
        assert shown == {SENTENCES[b][i] if i < len(SENTENCES[b]) else V - 1 for i in around}


@pytest.mark.parametrize("fixed", [False, True])
def test_union_is_the_searnn_codes(fixed):
    sets, truth, cells, scores = tried(TokenChoice("union", k=2, top=3, reach=1), fixed)
    best = scores.topk(3, 1).indices.tolist()
    extra = 0
    for shown, y, top, (b, t) in zip(sets, truth, best, cells, strict=True):
        ends = set() if fixed else {V - 1}
        around = {SENTENCES[b][i] if i < len(SENTENCES[b]) else V - 1 for i in (max(t - 1, 0), t, t + 1)}
        wanted = {y, *top, *around, *ends}
        assert wanted <= shown
        assert len(shown - wanted) <= 2
        extra += len(shown - wanted)
    assert extra > 0, "uniform tokens are among them"


def test_biased_always_has_the_ground_truth_and_policy_has_not():
    sets, truth, *_ = tried(TokenChoice("biased", k=3))
    assert all(y in shown and len(shown) <= 3 for shown, y in zip(sets, truth, strict=True))
    sets, truth, *_ = tried(TokenChoice("policy", k=3))
    assert not all(y in shown for shown, y in zip(sets, truth, strict=True))


def test_targeted_keeps_what_is_nearly_as_likely():
    sets, truth, _, scores = tried(TokenChoice("targeted", threshold=0.2))
    p = scores.softmax(1)
    for shown, y, row in zip(sets, truth, p, strict=True):
        near = set((row >= row.max() - 0.2).nonzero().squeeze(1).tolist())
        assert shown == near | {y}
    thinned, truth, cells, _ = tried(TokenChoice("targeted", threshold=1.0, most=7))
    for b in range(3):
        kept = sum(len(shown - {y}) for shown, y, (row, _) in zip(thinned, truth, cells, strict=True) if row == b)
        assert kept <= 7


@pytest.mark.parametrize("mode", get_args(TokenMode))
def test_a_choice_depends_on_the_seed_and_the_sentence_alone(mode):
    choice = TokenChoice(mode, k=3, most=5)
    assert tried(choice)[0] == tried(choice)[0]
    refs, rolled, row, time, scores, limits = setting()
    whole = choose_tokens(choice, rolled, row, time, scores, refs, limits, Draws(0), torch.arange(3))
    mine = torch.tensor([2])
    part = ground_truth(refs.pick(mine))
    here = row == 2
    alone = choose_tokens(choice, part, row[here] * 0, time[here], scores[here], refs.pick(mine), limits.pick(mine),
                          Draws(0), torch.tensor([2]))  # fmt: skip
    for n, m in enumerate(here.nonzero().squeeze(1).tolist()):
        both = [set(each.tokens[i][each.mask[i]].tolist()) for each, i in ((alone, n), (whole, m))]
        assert both[0] == both[1]


def test_cells_are_drawn_without_replacement_and_keep_the_end():
    refs = slow.refs_of([[0] * 30, [1] * 3], V - 1)
    rolled = ground_truth(refs)
    counts = torch.zeros(31)
    for seed in range(200):
        row, time = choose_cells(rolled, 6, False, Draws(seed), torch.arange(2))
        mine = time[row == 0].tolist()
        assert len(set(mine)) == len(mine)
        assert {29, 30} <= set(mine)
        assert 6 <= len(mine) <= 8
        assert time[row == 1].tolist() == [0, 1, 2, 3]
        counts[mine] += 1
    assert counts[:29].min() > 15, "200 · 6/31 = 39 on average"
    row, time = choose_cells(rolled, 6, True, Draws(0), torch.arange(2))
    assert len(time[row == 0]) == 6


def test_drawn_tokens_have_the_models_probabilities():
    scores = torch.tensor([[0.0, 1.0, -torch.inf, 2.0, -torch.inf]])
    uniform = (torch.arange(10000, dtype=torch.float64) + 0.5).unsqueeze(0) / 10000
    found = torch.bincount(drawn(scores, uniform)[0], minlength=5) / 10000
    assert torch.allclose(found.double(), scores.softmax(1)[0].double(), atol=1e-3)
    assert drawn(scores, torch.tensor([[1.0, 0.0]], dtype=torch.float64)).tolist() == [[3, 0]]
