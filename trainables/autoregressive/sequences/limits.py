"""Which tokens are possible at which place."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rules:
    """The rules of a task.

    Args:
        eos: the token that ends a sequence.
        fixed: the length is given: no EOS before it, EOS at it.
        once: tokens are 0 .. length - 1, each used at most once (an order).
    """

    eos: int
    fixed: bool = False
    once: bool = False


@dataclass(frozen=True)
class Limits:
    """The rules for some sentences.

    Args:
        length: (B,) of the target if it is given, else unused.
        cap: (B,) most places of a hypothesis, EOS included.
    """

    rules: Rules
    length: Tensor
    cap: Tensor

    def pick(self, index: Tensor) -> Limits:
        return Limits(self.rules, self.length[index], self.cap[index])

    @property
    def free(self) -> Tensor:
        """(B,) places whose token the model chooses."""
        return self.length if self.rules.fixed else self.cap

    def impossible(self, vocabulary: int, length: Tensor, used: Tensor | None) -> Tensor | None:
        """Tokens that are impossible at a free place: None, or a mask that broadcasts to (..., V).

        Args:
            length: (...,) of the sentences.
            used: (..., V) tokens used before, if each may be used once.
        """
        if not self.rules.fixed:
            return None
        tokens = torch.arange(vocabulary, device=length.device)
        if not self.rules.once:
            return tokens == self.rules.eos
        mask = tokens >= length.unsqueeze(-1)
        return mask if used is None else mask | used


def chosen(scores: Tensor, impossible: Tensor | None) -> Tensor:
    """arg-max over the possible tokens."""
    return (scores if impossible is None else scores.masked_fill(impossible, -torch.inf)).argmax(-1)
