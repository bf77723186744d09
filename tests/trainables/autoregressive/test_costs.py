"""Costs against slow versions and published values."""

import random

import pytest
import sacrebleu
import torch

from raybayes.errors import DataError
from tests.trainables.autoregressive import slow
from trainables.autoregressive.costs.sequence_costs import COSTS, build_cost, checked, edit_distance, hamming_count
from trainables.autoregressive.sequences.chunks import Tags
from trainables.autoregressive.sequences.ngrams import clipped_matches
from trainables.autoregressive.sequences.references import References, lengths


def words(text, known={}):  # noqa: B006 - one vocabulary for all calls
    return [known.setdefault(word, len(known)) for word in text.split()]


def pairs(count, vocabulary, longest, seed):
    draw = random.Random(seed)
    return [
        [[draw.randrange(vocabulary) for _ in range(draw.randint(low, longest))] for _ in range(count)]
        for low in (0, 1)
    ]


def cost_of(name, hyps, refs, eos):
    return COSTS[name](slow.padded(hyps, eos), slow.refs_of(refs, eos), torch.arange(len(hyps)))


@pytest.mark.parametrize(
    ("name", "hyp", "score"),
    [
        ("bleu", "the cat sat on the mat", 0.488923),
        ("gleu", "the cat sat on the mat", 0.5),
        ("bleu", "the cat", 0.135335),
        ("gleu", "the cat", 0.1667),
    ],
)
def test_published_values(name, hyp, score):
    found = cost_of(name, [words(hyp)], [words("the cat is on the mat")], 50)
    assert 1 - float(found) == pytest.approx(score, abs=5e-5)


def test_sacrebleu_agrees_but_for_the_unigrams():
    hyp, ref = "the cat sat on the mat", "the cat is on the mat"
    theirs = sacrebleu.sentence_bleu(hyp, [ref], smooth_method="add-k", smooth_value=1, tokenize="none").score / 100
    ours = 1 - float(cost_of("bleu", [words(hyp)], [words(ref)], 50))
    unigrams = (5 / 6) / (6 / 7)  # unsmoothed over smoothed
    assert ours * unigrams**0.25 == pytest.approx(theirs, rel=1e-6)
    assert theirs == pytest.approx(0.485492, abs=1e-5)


@pytest.mark.parametrize(("vocabulary", "longest"), [(3, 9), (12, 20), (2, 14), (4, 150)])
def test_ngram_matches_are_exact_at_any_length(vocabulary, longest):
    hyps, refs = pairs(60, vocabulary, longest, seed=longest)
    padded, of = slow.padded(hyps, vocabulary), slow.refs_of(refs, vocabulary)
    found = clipped_matches(padded, lengths(padded, vocabulary), of, torch.arange(60))
    for row in range(60):
        assert found[row].tolist() == [slow.matches(hyps[row], refs[row], n) for n in range(1, 5)]


def test_bleu_gleu_bleu1_against_counters():
    hyps, refs = pairs(200, 5, 9, seed=1)
    for name, score in (("bleu", slow.bleu), ("gleu", slow.gleu)):
        found = cost_of(name, hyps, refs, 5)
        wanted = [1 - score(hyp, ref) for hyp, ref in zip(hyps, refs, strict=True)]
        assert found.tolist() == pytest.approx(wanted, abs=1e-12)
    clean, kept = (1 - cost_of(name, hyps, refs, 5) for name in ("bleu1", "bleu1_searnn"))
    assert float(clean[lengths(slow.padded(hyps, 5), 5) == 0].sum()) == 0
    # brevity × p and brevity × p^0.25: where the hypothesis is not short, one is the fourth power of the other
    enough = torch.tensor([len(hyp) >= len(ref) for hyp, ref in zip(hyps, refs, strict=True)])
    assert torch.allclose(clean[enough], kept[enough] ** 4)


def test_hypotheses_may_share_references():
    refs = slow.refs_of([[0, 1, 2, 0], [1, 1, 2]], 3)
    hyps = [[0, 1, 0], [1, 1], [2, 0, 1, 2], [0]]
    which = torch.tensor([1, 0, 0, 1])
    found = COSTS["bleu"](slow.padded(hyps, 3), refs, which)
    truth = [[0, 1, 2, 0], [1, 1, 2]]
    wanted = [1 - slow.bleu(hyp, truth[int(w)]) for hyp, w in zip(hyps, which, strict=True)]
    assert found.tolist() == pytest.approx(wanted)


def test_edit_distance_is_levenshtein():
    hyps, refs = pairs(80, 3, 6, seed=2)
    eos = 3
    found = edit_distance(slow.padded(hyps, eos), slow.refs_of(refs, eos), torch.arange(80))
    assert found.tolist() == [slow.levenshtein(hyp, ref) for hyp, ref in zip(hyps, refs, strict=True)]
    relative = cost_of("edit", hyps, refs, eos)
    assert relative.tolist() == [d / len(ref) for d, ref in zip(found.tolist(), refs, strict=True)]


def test_edit_distance_of_tokens_that_would_be_surrogates():
    eos = 0xE000
    found = edit_distance(slow.padded([[0xD801, 5]], eos), slow.refs_of([[0xD801, 6]], eos), torch.arange(1))
    assert found.tolist() == [1]


def test_hamming_divides_by_the_length_with_eos():
    refs = slow.refs_of([[1, 2, 3]], 4)
    hyps = slow.padded([[1, 2, 3], [1, 2], [1, 2, 3, 3], [0, 0, 0, 0]], 4)
    counts = hamming_count(hyps, refs, torch.zeros(4, dtype=torch.int64))
    assert counts.tolist() == [0, 1, 1, 4]
    assert COSTS["hamming"](hyps, refs, torch.zeros(4, dtype=torch.int64)).tolist() == [0, 0.25, 0.25, 1]


def test_kendall_counts_inversions():
    draw = random.Random(0)
    truth = [draw.sample(range(n), n) for n in (2, 5, 7, 7)]
    hyps = [draw.sample(each, len(each)) for each in truth]
    found = cost_of("kendall", hyps, truth, 9)
    wanted = [slow.inversions(h, y) / max(1, len(y) * (len(y) - 1) / 2) for h, y in zip(hyps, truth, strict=True)]
    assert found.tolist() == pytest.approx(wanted)


@pytest.mark.parametrize("hyp", [[0, 0, 1], [0, 1], [0, 1, 3]])
def test_kendall_refuses_what_is_no_order(hyp):
    with pytest.raises(DataError, match="not an order of its reference's 3 tokens"):
        cost_of("kendall", [hyp], [[2, 1, 0]], 5)


def chunks(tags):
    """(start, length, type) of chunks, by reading on."""
    found, i = set(), 0
    while i < len(tags):
        if tags[i] == "O":
            i += 1
            continue
        kind, j = tags[i][2:], i + 1
        while j < len(tags) and tags[j] == f"I-{kind}":
            j += 1
        found.add((i, j - i, kind))
        i = j
    return found


def test_chunk_f1_against_reading_on():
    names = ["O", "B-NP", "I-NP", "B-VP", "I-VP", "I-PP"]
    draw = random.Random(5)
    tag = Tags.of(names)
    sequences = [[[draw.randrange(6) for _ in range(n)] for n in (1, 4, 8, 8, 9, 12) * 20] for _ in range(2)]
    cost = build_cost("chunk_f1", tag)(
        slow.padded(sequences[0], 6), slow.refs_of(sequences[1], 6), torch.arange(len(sequences[0]))
    )
    for value, hyp, ref in zip(cost.tolist(), *sequences, strict=True):
        one, other = (chunks([names[token] for token in each]) for each in (hyp, ref))
        right = len(one & other)
        f1 = 1.0 if not one and not other else 2 * right / (len(one) + len(other))
        assert value == pytest.approx(1 - f1)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: References.of([[1], []], 5), "sequence 1 is empty"),
        (lambda: References.of([[1, 7]], 5), "token 7, which is outside the vocabulary"),
        (lambda: References.of([[5]], 5), "allowed: 0 .. 4"),
        (lambda: build_cost("chunk_f1"), "needs task = chunking"),
        (lambda: Tags.of(["O", "X"]), "is not O, B-"),
        (lambda: checked(torch.tensor([[0.0, float("nan")]]), torch.ones(1, 2).bool()), r"cost at \(0, 1\) is nan"),
    ],
)
def test_bad_input(make, message):
    with pytest.raises(DataError, match=message):
        make()


def test_a_nan_that_was_not_tried_does_not_matter():
    costs = torch.tensor([[0.0, float("nan")]])
    assert checked(costs, torch.tensor([[True, False]])) is costs
