"""Pairs of symbol sequences with free target length, as tensors."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

import torch

from raybayes.errors import DataError
from trainables.autoregressive.sequences.limits import Limits, Rules
from trainables.autoregressive.sequences.references import References
from trainables.autoregressive.tasks.data import Data, Split, Vocabulary, caps_by_source, token_source

Pair = tuple[list[str], list[str]]


def parallel(parts: Mapping[str, Sequence[Pair]], shared: bool, min_count: int, joiner: str, where: str) -> Data:
    """A task from (source, target) symbols of the parts train, val and test.

    Args:
        shared: one vocabulary for both sides.
        min_count: rarer symbols of the training pairs become <unk>.

    Raises:
        DataError: a part is empty, or a sequence is.
    """
    for name, pairs in parts.items():
        if not pairs:
            raise DataError(f"{where}: no pairs of split {name!r} remain; allow longer sequences, or check the file.")
    counts: tuple[Counter[str], Counter[str]] = Counter(), Counter()
    for pair in parts["train"]:
        for count, symbols in zip(counts, pair, strict=True):
            count.update(symbols)
    if shared:
        known = Vocabulary(counts[0] + counts[1], min_count)
        read, write = known, known
    else:
        read, write = (Vocabulary(count, min_count) for count in counts)
    rules = Rules(len(write))
    seen = [(len(source), len(target)) for source, target in parts["train"]]
    splits: list[Split] = []
    for name in ("train", "val", "test"):
        pairs = parts[name]
        here = f"{where}, split {name!r}"
        source = token_source([read.numbers(source) for source, _ in pairs], len(read), here)
        refs = References.of([write.numbers(target) for _, target in pairs], rules.eos, here)
        cap = caps_by_source(seen, source.length)
        if name == "train":
            cap = torch.maximum(cap, refs.length + 1)
        splits.append(Split(source, refs, Limits(rules, refs.length, cap), [target for _, target in pairs]))
    train, val, test = splits
    return Data(train, val, test, write.symbols, len(read), True, rules, joiner)
