"""Reference policies against exhaustive search, and closed forms against completed sequences."""

import itertools
import random

import pytest
import torch

from tests.trainables.autoregressive import slow
from trainables.autoregressive.config import FITTING
from trainables.autoregressive.costs import policies
from trainables.autoregressive.costs.policies import build_policy
from trainables.autoregressive.costs.reference_costs import completed_costs, reference_costs
from trainables.autoregressive.costs.sequence_costs import COSTS, build_cost
from trainables.autoregressive.sequences.chunks import Tags
from trainables.autoregressive.sequences.references import lengths
from trainables.autoregressive.sequences.tried import Tried

TAGS = Tags.of(["O", "B-NP", "I-NP", "B-VP", "I-VP"])


def complete(name, prefixes, refs, eos, tags=None):
    """Lists without EOS."""
    width = max(map(len, prefixes)) + 1
    done = build_policy(name, tags)(
        slow.padded(prefixes, eos, width),
        torch.tensor([len(prefix) for prefix in prefixes]),
        slow.refs_of(refs, eos),
        torch.arange(len(prefixes)),
    )
    return [row[:n] for row, n in zip(done.tolist(), lengths(done, eos).tolist(), strict=True)]


def cases(count, vocabulary, longest, seed):
    draw = random.Random(seed)
    refs = [[draw.randrange(vocabulary) for _ in range(draw.randint(1, longest))] for _ in range(count)]
    prefixes = [[draw.randrange(vocabulary) for _ in range(draw.randint(0, longest))] for _ in range(count)]
    return prefixes, refs


def test_copying_is_wrong_where_the_length_is_free():
    assert complete("copy", [[1, 2]], [[0, 1, 2, 3, 4]], 5) == [[1, 2, 2, 3, 4]]
    assert complete("edit-optimal", [[1, 2]], [[0, 1, 2, 3, 4]], 5) == [[1, 2, 3, 4]]


def test_edit_optimal_against_exhaustive_search():
    prefixes, refs = cases(40, 2, 4, seed=0)
    done = complete("edit-optimal", prefixes, refs, 2)
    for hyp, prefix, ref in zip(done, prefixes, refs, strict=True):
        assert hyp[: len(prefix)] == prefix
        least = min(
            slow.levenshtein([*prefix, *end], ref) for n in range(5) for end in itertools.product(range(2), repeat=n)
        )
        assert slow.levenshtein(hyp, ref) == least


def test_align_order_against_exhaustive_search():
    draw = random.Random(1)
    refs = [draw.sample(range(n), n) for n in (3, 4, 5, 5, 6) * 6]
    prefixes = [draw.sample(ref, draw.randint(0, len(ref) - 1)) for ref in refs]
    for hyp, prefix, ref in zip(complete("align-order", prefixes, refs, 7), prefixes, refs, strict=True):
        assert hyp[: len(prefix)] == prefix
        left = [token for token in ref if token not in prefix]
        least = min(slow.inversions([*prefix, *end], ref) for end in itertools.permutations(left))
        assert slow.inversions(hyp, ref) == least


@pytest.mark.parametrize(("name", "score"), [("bleu", slow.bleu), ("gleu", slow.gleu)])
def test_best_suffix_is_the_shortest_of_the_best(name, score):
    prefixes, refs = cases(60, 4, 7, seed=2)
    for hyp, prefix, ref in zip(complete(f"best-suffix-{name}", prefixes, refs, 4), prefixes, refs, strict=True):
        suffixes = [ref[j:] for j in range(len(ref), -1, -1)]
        best = max(suffixes, key=lambda suffix: score([*prefix, *suffix], ref))
        assert hyp == [*prefix, *best]


@pytest.mark.parametrize(
    ("prefix", "truth", "done"),
    [
        ([], ["B-NP", "I-NP", "O"], ["B-NP", "I-NP", "O"]),
        (["B-VP"], ["B-NP", "I-NP", "O"], ["B-VP", "I-VP", "O"]),
        (["B-NP"], ["B-NP", "I-NP", "B-VP"], ["B-NP", "I-NP", "B-VP"]),
        (["B-VP"], ["B-NP", "I-NP", "B-NP", "I-NP"], ["B-VP", "I-VP", "B-NP", "I-NP"]),
        (["O"], ["B-NP", "O", "B-VP"], ["O", "O", "B-VP"]),
    ],
)
def test_max_f1_goes_on_with_the_open_chunk(prefix, truth, done):
    names = ["O", "B-NP", "I-NP", "B-VP", "I-VP"]
    ids = [[names.index(tag) for tag in tags] for tags in (prefix, truth, done)]
    assert complete("max-f1", [ids[0]], [ids[1]], 5, TAGS) == [ids[2]]


def tried_of(refs, seed, vocabulary, k, orders=False):
    """Every cell of some roll-ins with k tokens each, some of them masked."""
    draw = random.Random(seed)
    eos = vocabulary - 1
    if orders:
        prefix = [draw.sample(range(len(ref)), len(ref)) for ref in refs]
    else:
        prefix = [[draw.randrange(eos) for _ in range(draw.randint(1, 6))] for ref in refs]
    cells = [(b, t) for b, tokens in enumerate(prefix) for t in range(len(tokens) + (not orders))]
    tokens, mask = [], []
    for b, t in cells:
        left = (
            [token for token in range(len(refs[b])) if token not in prefix[b][:t]] if orders else [*range(vocabulary)]
        )
        chosen = draw.sample(left, min(k, len(left)))
        tokens.append(chosen + [0] * (k - len(chosen)))
        mask.append([True] * len(chosen) + [False] * (k - len(chosen)))
    sentence, time = torch.tensor(cells).T
    return Tried(slow.padded(prefix, eos), sentence, time, torch.tensor(tokens), torch.tensor(mask))


@pytest.mark.parametrize(
    ("policy", "cost"),
    [
        ("copy", "hamming"),
        ("copy", "hamming_count"),
        ("edit-optimal", "edit"),
        ("align-order", "kendall"),
        ("best-suffix-bleu", "bleu"),
    ],
)
def test_closed_forms_equal_completed_and_scored(policy, cost):
    draw = random.Random(9)
    orders = cost == "kendall"
    refs = [draw.sample(range(n), n) if orders else [draw.randrange(5) for _ in range(n)] for n in (2, 3, 5, 5, 6, 4)]
    vocabulary = 9 if orders else 6
    tried = tried_of(refs, 3, vocabulary, 4, orders)
    of = slow.refs_of(refs, vocabulary - 1)
    closed = reference_costs(policy, cost, tried, of)
    rolled = _one_by_one(policy, cost, tried, of)
    assert torch.allclose(closed[tried.mask], rolled[tried.mask], atol=1e-12)
    assert (closed[~tried.mask] == 0).all()
    assert torch.allclose(completed_costs(policy, cost, tried, of), closed, atol=1e-12)


def _one_by_one(policy, cost, tried, refs):
    out = torch.zeros(tried.tokens.shape, dtype=torch.float64)
    for n, (b, t) in enumerate(zip(tried.sentence.tolist(), tried.time.tolist(), strict=True)):
        for j in range(tried.tokens.shape[1]):
            if tried.mask[n, j]:
                hyp = [*tried.prefix[b, :t].tolist(), int(tried.tokens[n, j])]
                row, which = torch.tensor([[*hyp, refs.eos]]), torch.tensor([b])
                if hyp[-1] != refs.eos:
                    row = build_policy(policy)(row, torch.tensor([len(hyp)]), refs, which)
                out[n, j] = COSTS[cost](row, refs, which)
    return out


def test_the_cheapest_next_token_of_an_optimal_policy_costs_what_the_prefix_costs():
    """min_a of the cost-to-go is the cost-to-go before: nothing is lost by playing optimally."""
    refs = [[0, 1, 2, 1], [2, 2, 0], [1]]
    of = slow.refs_of(refs, 3)
    tried = tried_of(refs, 4, 4, 4)
    costs = reference_costs("edit-optimal", "edit", tried, of)
    rows = policies.edit_rows(tried.prefix, of, torch.arange(3))[tried.sentence, tried.time]
    assert torch.allclose(costs.min(1).values, rows.min(1).values.double() / of.length[tried.sentence])


@pytest.mark.parametrize(("cost", "policy"), [(c, p) for c, fitting in FITTING.items() for p in fitting])
def test_every_fitting_pair_gives_costs(cost, policy):
    orders = cost == "kendall"
    refs = [[2, 0, 1], [1, 0]] if orders else [[0, 1, 2, 4], [3, 1]]
    eos = 5
    tried = tried_of(refs, 5, eos + 1, 3, orders)
    costs = reference_costs(policy, cost, tried, slow.refs_of(refs, eos), TAGS)
    assert costs.isfinite().all()
    assert costs[tried.mask].max() > 0
    assert build_cost(cost, TAGS) is not None
