"""Captions from one language to the other (Multi30k): lower-case words, BLEU without further tokenising."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from trainables.autoregressive.config import TranslationValues
from trainables.autoregressive.tasks.data import Data, require, split_of
from trainables.autoregressive.tasks.pairs import parallel
from trainables.autoregressive.tasks.words import tokenised


def load(tables: Mapping[str, pa.Table], values: TranslationValues, where: str) -> Data:
    """Training pairs up to `longest` words, all pairs of validation and test (sources are cut to twice that).

    Raises:
        DataError: a column or a split is missing, or no data remain.
    """
    known = require(tables, "multi30k", where)
    source, target = values.direction.split("-")
    parts = {}
    for name, split in (("train", "train"), ("val", "val"), ("test", values.test)):
        table = split_of(known, split, where)
        pairs = zip(table[source].to_pylist(), table[target].to_pylist(), strict=True)
        parts[name] = [(tokenised(one)[: 2 * values.longest], tokenised(other)) for one, other in pairs]
    parts["train"] = [pair for pair in parts["train"] if max(map(len, pair)) <= values.longest]
    return parallel(parts, shared=False, min_count=values.min_count, joiner=" ", where=where)
