"""The interface of a model to roll-ins, roll-outs and decoding.

Rows lie in a grid (G, M): G groups share what belongs to a sentence (memory, a prefix's cache), M rows each. A model
that does not use its sentence after the start takes all rows as one group.
"""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, NamedTuple, Self, TypeVar, overload

import torch
from torch import Tensor, nn

Rows = tuple[Tensor, ...]  # each (G, M, ...)
Member = TypeVar("Member", bound=nn.Module)


class LayerList(nn.ModuleList, Generic[Member]):
    """A ModuleList that tells type checkers what it holds; nothing else differs."""

    if TYPE_CHECKING:

        def __iter__(self) -> Iterator[Member]: ...

        @overload
        def __getitem__(self, idx: slice) -> Self: ...

        @overload
        def __getitem__(self, idx: int) -> Member: ...

        def __getitem__(self, idx: int | slice) -> Member | Self: ...


@dataclass(frozen=True)
class Source:
    """The inputs of some sentences.

    Args:
        values: (B, S) int64 tokens, or (B, S, F) float features.
        length: (B,) of each, at least 1.
    """

    values: Tensor
    length: Tensor

    def __len__(self) -> int:
        return len(self.values)

    def pick(self, index: Tensor) -> Source:
        length = self.length[index]
        return Source(self.values[index, : int(length.max())], length)

    @property
    def mask(self) -> Tensor:
        """(B, S) True inside."""
        return torch.arange(self.values.shape[1], device=self.length.device) < self.length.unsqueeze(1)


class Trace(NamedTuple):
    """What a pass over fed tokens provides to roll-outs, all detached.

    Args:
        shared: tensors of the sentences, (B, ...), and tables shared by all of them, (1, ...).
        states: (B, T, ...) after each fed token, or the caches of all of them.
    """

    shared: Rows
    states: Rows


class Seq2Seq(nn.Module):
    """An encoder-decoder over V tokens, EOS = V - 1; one more embedding, number V, starts a sequence."""

    grouped: bool  # whether roll-outs of a sentence share its memory

    def __init__(self, vocabulary: int) -> None:
        super().__init__()
        self.vocabulary, self.eos, self.bos = vocabulary, vocabulary - 1, vocabulary

    @abstractmethod
    def forward(self, source: Source, fed: Tensor) -> tuple[Tensor, Trace]:
        """Scores (B, n, T, V) of the tokens after each fed token (B, n, T), and the trace of sequence n = 0."""

    @abstractmethod
    def begin(self, source: Source) -> tuple[Rows, Rows]:
        """(shared, rows of a grid (B, 1)) before the first token."""

    @abstractmethod
    def branch(self, trace: Trace, group: Tensor, sentence: Tensor, time: Tensor, cell: Tensor) -> tuple[Rows, Rows]:
        """(shared, rows) of a grid of roll-outs that start from cells.

        Args:
            trace: of all sentences.
            group: (G,) the sentence of each group; empty where all rows are one group.
            sentence, time: (N,) of the cells: the state after fed token `time`.
            cell: (G, M) the cell of each row.
        """

    @abstractmethod
    def advance(self, shared: Rows, rows: Rows, tokens: Tensor) -> tuple[Tensor, Rows]:
        """Feed tokens (G, M): scores (G, M, V) of the next ones, and the rows after them."""


def narrowed(rows: Rows, columns: int) -> Rows:
    """The first columns of every group."""
    return tuple(x[:, :columns] for x in rows)


def taken(rows: Rows, index: Tensor) -> Rows:
    """Rows by column (G, M') within their groups."""
    found = []
    for x in rows:
        shape = (*index.shape, *x.shape[2:])
        found.append(x.gather(1, index.reshape(*index.shape, *(1,) * (x.dim() - 2)).expand(shape)))
    return tuple(found)


class Dropout(nn.Module):
    """Dropout with its own generator."""

    def __init__(self, p: float) -> None:
        super().__init__()
        self.p = p
        self.generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        if not self.training or self.p == 0:
            return x
        if self.generator is None:
            raise RuntimeError("dropout needs a generator: call set_generator(model, generator)")
        kept = torch.rand(x.shape, device=x.device, generator=self.generator) >= self.p
        return x * kept / (1 - self.p)


def set_generator(model: nn.Module, generator: torch.Generator) -> None:
    """Make all dropout layers of a model draw from a generator, which must be on the model's device."""
    for module in model.modules():
        if isinstance(module, Dropout):
            module.generator = generator


def initialise(model: nn.Module, generator: torch.Generator) -> None:
    """Embeddings Kaiming-uniform, matrices Xavier-uniform (recurrent ones per gate), biases 0, from a CPU generator.

    Norms keep their ones. The SeaRNN code's choice for embeddings and linear layers.
    """
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, nn.Embedding):
                bound = math.sqrt(3.0) * math.sqrt(2.0 / module.embedding_dim)
                _uniform(module.weight, bound, generator)
            elif isinstance(module, nn.Linear):
                _uniform(module.weight, math.sqrt(6.0 / sum(module.weight.shape)), generator)
                if module.bias is not None:
                    module.bias.zero_()
            elif isinstance(module, nn.GRU):
                for name, parameter in module.named_parameters():
                    bound = 1 / math.sqrt(module.hidden_size)
                    _uniform(parameter, 0.0 if name.startswith("bias") else bound, generator)


def _uniform(parameter: Tensor, bound: float, generator: torch.Generator) -> None:
    parameter.copy_((2 * torch.rand(parameter.shape, generator=generator, dtype=parameter.dtype) - 1) * bound)
