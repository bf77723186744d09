"""Handwritten words: 16 x 8 pictures of letters to letters; the length is given.

References:
    Kassel, "A comparison of approaches to on-line handwritten character recognition", 1995; Taskar, Guestrin, Koller,
    "Max-margin Markov networks", 2003.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import torch
from torch import Tensor

from raybayes.errors import DataError
from trainables.autoregressive.config import OcrValues
from trainables.autoregressive.draws import Draws
from trainables.autoregressive.models.decoder import Source
from trainables.autoregressive.sequences.limits import Limits, Rules
from trainables.autoregressive.sequences.references import References
from trainables.autoregressive.tasks.data import Data, Split, require

LETTERS = "abcdefghijklmnopqrstuvwxyz"
PIXELS = 128
_VALIDATION = 0.1  # share of the training rows of a fold split


def load(tables: Mapping[str, pa.Table], values: OcrValues, where: str) -> Data:
    """Training, validation and test words, by fold or by held-out words.

    Raises:
        DataError: a column is missing; pictures do not fit letters; a part gets no words.
    """
    table = pa.concat_tables(require(tables, "letters", where).values())
    letters = table["letters"].to_pylist()
    refs = References.of(letters, len(LETTERS), where)
    source = Source(_pictures(table, refs.length, where), refs.length)
    rules = Rules(len(LETTERS), fixed=True)
    texts = [[LETTERS[letter] for letter in word] for word in letters]
    whole = Split(source, refs, Limits(rules, refs.length, refs.length + 1), texts)
    part, notes = _by_fold(table, values) if values.split == "fold" else _by_word(table, values, where)
    for number, name in enumerate(("training", "validation", "test")):
        if not bool((part == number).any()):
            raise DataError(f"{where}: no words are left for {name}; choose another ocr.fold, or lower ocr.held_out.")
    train, val, test = (whole.pick((part == number).nonzero().squeeze(1)) for number in range(3))
    return Data(train, val, test, list(LETTERS), PIXELS, False, rules, "", notes=notes)


def _pictures(table: pa.Table, length: Tensor, where: str) -> Tensor:
    """(N, longest, 128) of 0 and 1."""
    found = torch.zeros(len(length), int(length.max()), PIXELS)
    for row, packed in enumerate(table["images"].to_pylist()):
        n = int(length[row])
        if len(packed) * 8 != n * PIXELS:
            raise DataError(
                f"{where}: row {row} has {len(packed)} bytes of pictures for {n} letters; expected {n * PIXELS // 8}, "
                f"16 per letter."
            )
        bits = np.unpackbits(np.frombuffer(packed, np.uint8)).reshape(n, PIXELS)
        found[row, :n] = torch.from_numpy(bits)
    return found


def _by_fold(table: pa.Table, values: OcrValues) -> tuple[Tensor, tuple[str, ...]]:
    """0 train, 1 validation, 2 test, (N,)."""
    fold = torch.from_numpy(table["fold"].to_numpy().astype(np.int64))
    drawn = Draws(values.split_seed).uniform("validation", torch.arange(len(fold)))
    words = table["word"].to_numpy(zero_copy_only=False)
    test = (fold == values.fold).numpy()
    unseen = set(words[test]) - set(words[~test])
    note = (
        f"{len(set(words[test]) - unseen)} of the {len(set(words[test]))} words of the test fold also occur in "
        f"training ({len(set(words))} distinct words in all): scores measure memorised words; see ocr.split = words."
    )
    return torch.where(fold == values.fold, 2, (drawn < _VALIDATION).long()), (note,)


def _by_word(table: pa.Table, values: OcrValues, where: str) -> tuple[Tensor, tuple[str, ...]]:
    words = table["word"].to_pylist()
    distinct = sorted(set(words))
    if values.held_out + values.held_out // 2 >= len(distinct):
        raise DataError(
            f"{where}: ocr.held_out = {values.held_out} and half as many for validation leave none of "
            f"{len(distinct)} distinct words for training; lower it."
        )
    rank = Draws(values.split_seed).uniform("words", torch.arange(len(distinct))).argsort().argsort().tolist()
    held, checked = values.held_out, max(1, values.held_out // 2)
    part = {word: 2 if r < held else 1 if r < held + checked else 0 for word, r in zip(distinct, rank, strict=True)}
    note = f"{held} of {len(distinct)} words are for test and {checked} for validation; they occur in no other part."
    return torch.tensor([part[word] for word in words]), (note,)
