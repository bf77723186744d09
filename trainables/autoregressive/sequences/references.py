"""Token sequences as rectangular tensors: every row ends with EOS and is padded with it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from raybayes.errors import DataError


def lengths(tokens: Tensor, eos: int) -> Tensor:
    """Tokens before the first EOS, (R,) of (R, W); W where there is none."""
    return ((tokens == eos).cumsum(1) == 0).sum(1)


def finish(tokens: Tensor, eos: int) -> Tensor:
    """Everything after the first EOS becomes EOS."""
    return tokens.masked_fill((tokens == eos).cumsum(1) > 0, eos)


@dataclass(frozen=True)
class References:
    """The ground truth y of some sentences.

    Args:
        tokens: (B, W) int64, EOS from `length` on, W > every length.
        length: (B,) tokens before EOS, at least 1.
        eos: the token that ends a sequence.
    """

    tokens: Tensor
    length: Tensor
    eos: int

    @classmethod
    def of(cls, sequences: list[list[int]], eos: int, where: str = "") -> References:
        """From lists of tokens without EOS.

        Args:
            where: the file and the split, for messages.

        Raises:
            DataError: a sequence is empty, or a token is outside 0 .. eos - 1.
        """
        said = f"{where}: " if where else ""
        for row, sequence in enumerate(sequences):
            if not sequence:
                raise DataError(f"{said}target sequence {row} is empty; drop it, or give it at least one token.")
            if wrong := [token for token in sequence if not 0 <= token < eos]:
                raise DataError(
                    f"{said}target sequence {row} has the token {wrong[0]}, which is outside the vocabulary; "
                    f"allowed: 0 .. {eos - 1} (EOS is {eos} and is added here)."
                )
        width = max(map(len, sequences), default=0) + 1
        tokens = torch.full((len(sequences), width), eos)
        for row, sequence in enumerate(sequences):
            tokens[row, : len(sequence)] = torch.tensor(sequence)
        return cls(tokens, torch.tensor([len(sequence) for sequence in sequences]), eos)

    def __len__(self) -> int:
        return len(self.tokens)

    def pick(self, index: Tensor) -> References:
        """Some sentences, cut to the longest of them."""
        length = self.length[index]
        return References(self.tokens[index, : int(length.max()) + 1], length, self.eos)

    def padded(self, width: int) -> Tensor:
        """The tokens (B, width), padded with EOS or cut."""
        if (missing := width - self.tokens.shape[1]) > 0:
            return torch.nn.functional.pad(self.tokens, (0, missing), value=self.eos)
        return self.tokens[:, :width]

    @cached_property
    def first_place(self) -> Tensor:
        """(B, W): the first place of each place's token; W from `length` on."""
        same = self.tokens.unsqueeze(2) == self.tokens.unsqueeze(1)
        places = torch.arange(self.tokens.shape[1], device=same.device)
        first = torch.where(same, places, self.tokens.shape[1]).min(2).values
        return first.masked_fill(self.tokens == self.eos, self.tokens.shape[1])

    @cached_property
    def place_of_token(self) -> Tensor:
        """(B, eos + 1): the first place of each token; W for EOS and for tokens that the reference lacks."""
        width = self.tokens.shape[1]
        table = torch.full((len(self), self.eos + 1), width, device=self.tokens.device)
        return table.scatter(1, self.tokens, self.first_place)

    @cached_property
    def grams(self) -> list[Tensor]:
        """For n = 1 .. 4: how often the n-gram that starts at a place occurs (B, W); 0 where it occurred before."""
        found = []
        same = self.tokens.unsqueeze(2) == self.tokens.unsqueeze(1)
        inside = torch.arange(self.tokens.shape[1], device=self.tokens.device) < self.length.unsqueeze(1)
        same = same & inside.unsqueeze(1) & inside.unsqueeze(2)
        now = same
        for n in range(1, 5):
            if n > 1:
                shifted = torch.zeros_like(same)
                shifted[:, : -(n - 1), : -(n - 1)] = same[:, n - 1 :, n - 1 :]
                now = now & shifted
            earlier = now.tril(-1).any(2)
            count = now.sum(2)
            found.append(count.masked_fill(earlier, 0))
        return found
