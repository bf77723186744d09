"""The words of a caption, shuffled, back in order: tokens are places of the shuffled source, each used once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pyarrow as pa
import torch

from raybayes.errors import DataError
from trainables.autoregressive.config import OrderingValues
from trainables.autoregressive.draws import Draws
from trainables.autoregressive.sequences.limits import Limits, Rules
from trainables.autoregressive.sequences.references import References
from trainables.autoregressive.tasks.data import Data, Split, Vocabulary, require, split_of, token_source
from trainables.autoregressive.tasks.words import tokenised

_PARTS = (("train", "train"), ("val", "val"), ("test", "test_2016_flickr"))


def load(tables: Mapping[str, pa.Table], values: OrderingValues, where: str) -> Data:
    """Captions of 2 to `longest` words. The shuffle depends on the caption's number alone.

    Equal words keep their order in the shuffle, so that a caption has one right answer.

    Raises:
        DataError: a column or a split is missing, or no data remain.
    """
    known = require(tables, "multi30k", where)
    captions = {}
    for name, split in _PARTS:
        known_words = [tokenised(text) for text in split_of(known, split, where)[values.language].to_pylist()]
        captions[name] = [caption for caption in known_words if 2 <= len(caption) <= values.longest]
        if not captions[name]:
            raise DataError(
                f"{where}: no caption of split {name!r} has 2 to {values.longest} words; raise ordering.longest."
            )
    vocabulary = Vocabulary(Counter(word for caption in captions["train"] for word in caption), values.min_count)
    eos = values.longest
    rules, draws = Rules(eos, fixed=True, once=True), Draws(0)
    splits: list[Split] = []
    for part, (name, _) in enumerate(_PARTS):
        shuffled: list[list[str]] = []
        targets: list[list[int]] = []
        for row, caption in enumerate(captions[name]):
            key = draws.uniform("shuffle", torch.tensor([part]), torch.tensor([row]), torch.arange(len(caption)))
            words_there, order = shuffle(caption, key.argsort().tolist())
            shuffled.append(words_there)
            targets.append(order)
        source = token_source([vocabulary.numbers(words) for words in shuffled], len(vocabulary), where)
        refs = References.of(targets, eos, where)
        splits.append(Split(source, refs, Limits(rules, refs.length, refs.length + 1), shuffled))
    symbols = [str(place) for place in range(eos)]
    train, val, test = splits
    return Data(train, val, test, symbols, len(vocabulary), True, rules, " ")


def shuffle(words: list[str], places: list[int]) -> tuple[list[str], list[int]]:
    """The words at the places of a permutation, and the order that brings them back, equal words in their order."""
    source = [words[place] for place in places]
    at: dict[str, list[int]] = {}
    for place, word in enumerate(source):
        at.setdefault(word, []).append(place)
    taken: Counter[str] = Counter()
    order = []
    for word in words:
        order.append(at[word][taken[word]])
        taken[word] += 1
    return source, order
