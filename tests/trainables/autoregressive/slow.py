"""Slow, obvious versions: strings, counters, recursion, one roll-out at a time."""

import itertools
import math
from collections import Counter

import torch

from trainables.autoregressive.sequences.limits import Limits, Rules
from trainables.autoregressive.sequences.references import References


def grams(words, n):
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def matches(hyp, ref, n):
    return sum((grams(hyp, n) & grams(ref, n)).values())


def bleu(hyp, ref):
    if not hyp or not matches(hyp, ref, 1):
        return 0.0
    product = 1.0
    for n in range(1, 5):
        product *= (matches(hyp, ref, n) + 1) / (max(len(hyp) - n + 1, 0) + 1)
    return min(1.0, math.exp(1 - len(ref) / len(hyp))) * product**0.25


def gleu(hyp, ref):
    totals = [sum(max(len(words) - n + 1, 0) for n in range(1, 5)) for words in (hyp, ref)]
    return sum(matches(hyp, ref, n) for n in range(1, 5)) / max(totals)


def levenshtein(a, b):
    if not a or not b:
        return len(a) + len(b)
    return min(levenshtein(a[1:], b) + 1, levenshtein(a, b[1:]) + 1, levenshtein(a[1:], b[1:]) + (a[0] != b[0]))


def inversions(order, truth):
    rank = {token: place for place, token in enumerate(truth)}
    return sum(rank[a] > rank[b] for a, b in itertools.combinations(order, 2))


def refs_of(sequences, eos):
    return References.of([list(sequence) for sequence in sequences], eos)


def padded(sequences, eos, width=None):
    width = width or max(map(len, sequences)) + 1
    return torch.tensor([[*sequence, *[eos] * (width - len(sequence))] for sequence in sequences])


def limits_of(refs, cap=None, fixed=False, once=False):
    caps = refs.length + 1 if cap is None else torch.full_like(refs.length, cap)
    return Limits(Rules(refs.eos, fixed, once), refs.length, caps)


@torch.no_grad()
def roll_out_one(model, source, prefix, token, cap, limits, b):
    """Finish one hypothesis: feed the prefix step by step from the start, then go on greedily. A list without EOS."""
    rules, hyp = limits.rules, [*prefix, token]
    if token == rules.eos:
        return list(prefix)
    shared, rows = model.begin(source)
    for fed in [model.bos, *prefix]:
        _, rows = model.advance(shared, rows, torch.tensor([[fed]]))
    free = int(limits.length[b]) if rules.fixed else cap
    last = token
    while len(hyp) < free:
        scores, rows = model.advance(shared, rows, torch.tensor([[last]]))
        scores = scores[0, 0].clone()
        if rules.fixed:
            scores[rules.eos] = -torch.inf
        if rules.once:
            scores[hyp] = -torch.inf
            scores[int(limits.length[b]) :] = -torch.inf
        last = int(scores.argmax())
        if last == rules.eos:
            break
        hyp.append(last)
    return hyp
