"""Misspelt characters to correct ones: real typos, or chunks of text with noise."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import pyarrow as pa
import torch

from raybayes.errors import DataError
from trainables.autoregressive.config import SpellingValues
from trainables.autoregressive.draws import Draws
from trainables.autoregressive.tasks.data import Data, require, split_of
from trainables.autoregressive.tasks.pairs import Pair, parallel
from trainables.autoregressive.tasks.words import tokenised

_TEST = "test_2016_flickr"


def load(tables: Mapping[str, pa.Table], values: SpellingValues, where: str) -> Data:
    """Pairs of characters; characters that do not occur in training are <unk>, which matches nothing.

    Raises:
        DataError: a column or a split is missing, or no data remain.
    """
    parts = _typos(tables, values, where) if values.errors == "typos" else _noisy(tables, values, where)
    return parallel(parts, shared=True, min_count=1, joiner="", where=where)


def _typos(tables: Mapping[str, pa.Table], values: SpellingValues, where: str) -> dict[str, list[Pair]]:
    """The first correction of every misspelling."""
    known = require(tables, "spelling", where)
    parts = {}
    for name in ("train", "val", "test"):
        rows = split_of(known, name, where).to_pylist()
        parts[name] = [
            (list(row["misspelt"]), list(row["correct"]))
            for row in rows
            if row["rank"] == 0 and max(len(row["misspelt"]), len(row["correct"])) <= values.longest
        ]
    return parts


def _noisy(tables: Mapping[str, pa.Table], values: SpellingValues, where: str) -> dict[str, list[Pair]]:
    """Chunks of captions; each character is replaced by a uniformly drawn one with probability `noise`.

    The noise depends on the chunk alone, so that every run has the same pairs.
    """
    known = require(tables, "multi30k", where)
    texts = {
        name: " ".join(" ".join(tokenised(caption)) for caption in split_of(known, split, where)["en"].to_pylist())
        for name, split in (("train", "train"), ("val", "val"), ("test", _TEST))
    }
    alphabet = sorted(Counter(texts["train"]))
    draws, parts = Draws(0), {}
    for number, (name, text) in enumerate(texts.items()):
        chunks = [text[at : at + values.chunk] for at in range(0, len(text) - values.chunk + 1, values.chunk)]
        if not chunks:
            raise DataError(f"{where}: split {name!r} has fewer than {values.chunk} characters; lower spelling.chunk.")
        row, column = torch.arange(len(chunks)).unsqueeze(1), torch.arange(values.chunk)
        part = torch.full_like(row, number)
        hit = (draws.uniform("noise", part, row, column) < values.noise).tolist()
        other = (draws.uniform("other", part, row, column) * len(alphabet)).long().tolist()
        parts[name] = [
            ([alphabet[o] if h else c for c, h, o in zip(chunk, hits, others, strict=True)], list(chunk))
            for chunk, hits, others in zip(chunks, hit, other, strict=True)
        ]
    return parts
