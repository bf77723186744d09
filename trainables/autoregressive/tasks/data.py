"""A task's sentences as tensors, and the symbols of its tokens."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import pyarrow as pa
import torch
from torch import Tensor

from raybayes.data import describe
from raybayes.data.files.tables import conform
from raybayes.errors import DataError
from trainables.autoregressive.models.decoder import Source
from trainables.autoregressive.sequences.chunks import Tags
from trainables.autoregressive.sequences.limits import Limits, Rules
from trainables.autoregressive.sequences.references import References


@dataclass(frozen=True)
class Split:
    """Some sentences.

    Args:
        texts: the targets' symbols, before rare ones became <unk>.
    """

    source: Source
    refs: References
    limits: Limits
    texts: Sequence[Sequence[str]]

    def __len__(self) -> int:
        return len(self.refs)

    def pick(self, index: Tensor) -> Split:
        texts = [self.texts[i] for i in index.tolist()]
        return Split(self.source.pick(index), self.refs.pick(index), self.limits.pick(index), texts)

    def thinned(self, rows: int | None) -> Split:
        """At most `rows` of them, evenly spaced; all for None."""
        if rows is None or rows >= len(self):
            return self
        return self.pick(torch.arange(rows, device=self.refs.length.device) * len(self) // rows)

    def to(self, device: torch.device) -> Split:
        refs, limits = self.refs, self.limits
        return Split(
            Source(self.source.values.to(device), self.source.length.to(device)),
            References(refs.tokens.to(device), refs.length.to(device), refs.eos),
            Limits(limits.rules, limits.length.to(device), limits.cap.to(device)),
            self.texts,
        )


@dataclass(frozen=True)
class Data:
    """A task.

    Args:
        symbols: the text of each token, EOS excluded; for orders, whose tokens are places, the places' numbers.
        inputs: size of the source's vocabulary, or number of features of its real vectors.
        tokens: whether the source is tokens.
        joiner: the separator of symbols in a text.
        tags: meaning of the tokens where they are tags.
        words: of every test sentence's source, where tokens are its places.
        notes: caveats for readers of the results, one sentence each.
    """

    train: Split
    val: Split
    test: Split
    symbols: Sequence[str]
    inputs: int
    tokens: bool
    rules: Rules
    joiner: str
    tags: Tags | None = None
    notes: tuple[str, ...] = field(default=())

    @property
    def vocabulary(self) -> int:
        return self.rules.eos + 1

    @property
    def longest(self) -> int:
        """Most places of a source, a target or a hypothesis."""
        parts = (self.train, self.val, self.test)
        ends = ((int(p.limits.cap.max()), p.source.values.shape[1], p.refs.tokens.shape[1]) for p in parts)
        return max(map(max, ends)) + 1


def require(tables: Mapping[str, pa.Table], like: str, where: str) -> dict[str, pa.Table]:
    """Tables with the columns of data set `like`, in its types.

    Raises:
        DataError: a column is missing or of another type.
    """
    return {split: conform(table, describe(like).columns, where) for split, table in tables.items()}


def split_of(tables: Mapping[str, pa.Table], name: str, where: str) -> pa.Table:
    """One split.

    Raises:
        DataError: it is missing.
    """
    if name not in tables:
        raise DataError(
            f"{where}: split {name!r} is missing; found {', '.join(tables)}. "
            f"A user's Parquet file needs a column `split` with the values train, val and test."
        )
    return tables[name]


def token_source(sequences: Sequence[Sequence[int]], size: int, where: str) -> Source:
    """Token sequences as a source, padded with 0.

    Args:
        where: the file and the split, for messages.

    Raises:
        DataError: a sequence is empty, or a token is outside 0 .. size - 1.
    """
    for row, sequence in enumerate(sequences):
        if not sequence:
            raise DataError(f"{where}: source sequence {row} is empty; drop it, or give it at least one token.")
        if wrong := [token for token in sequence if not 0 <= token < size]:
            raise DataError(
                f"{where}: source sequence {row} has the token {wrong[0]}, which is outside the vocabulary "
                f"0 .. {size - 1}."
            )
    values = torch.zeros(len(sequences), max(map(len, sequences), default=1), dtype=torch.int64)
    for row, sequence in enumerate(sequences):
        values[row, : len(sequence)] = torch.tensor(sequence)
    return Source(values, torch.tensor([len(sequence) for sequence in sequences]))


def caps_by_source(train: Sequence[tuple[int, int]], lengths: Tensor) -> Tensor:
    """Most places of a hypothesis: the longest training target of sources up to that length, plus EOS.

    Args:
        train: (source length, target length) of the training pairs.
        lengths: (B,) of the sources asked for.
    """
    longest = max(source for source, _ in train)
    seen = torch.zeros(longest + 1, dtype=torch.int64)
    for source, target in train:
        seen[source] = max(int(seen[source]), target)
    return seen.cummax(0).values[lengths.clamp_max(longest)].clamp_min(1) + 1


class Vocabulary:
    """Symbols by number; rare ones share the last number, <unk>.

    Args:
        counts: number of occurrences of each symbol in training.
    """

    UNKNOWN = "<unk>"

    def __init__(self, counts: Mapping[str, int], min_count: int = 1) -> None:
        kept = sorted((symbol for symbol, n in counts.items() if n >= min_count), key=lambda s: (-counts[s], s))
        self.symbols = [*kept, self.UNKNOWN]
        self._numbers = {symbol: number for number, symbol in enumerate(kept)}

    def __len__(self) -> int:
        return len(self.symbols)

    def numbers(self, symbols: Sequence[str]) -> list[int]:
        return [self._numbers.get(symbol, len(self.symbols) - 1) for symbol in symbols]
