"""Chunks in sequences of B-, I- and O tags."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from raybayes.errors import DataError
from trainables.autoregressive.sequences.references import References, lengths

OUTSIDE, BEGIN, INSIDE = 0, 1, 2


@dataclass(frozen=True)
class Tags:
    """The meaning of each token of a tag vocabulary, EOS included.

    Args:
        kind: (V,) OUTSIDE, BEGIN or INSIDE; EOS is OUTSIDE.
        type: (V,) number of the chunk type, -1 for O and EOS.
        inside: (V,) the I- tag of the same type; the token itself if there is none.
    """

    kind: Tensor
    type: Tensor
    inside: Tensor

    @classmethod
    def of(cls, names: list[str]) -> Tags:
        """From names like "O", "B-NP", "I-NP"; EOS comes after them.

        Raises:
            DataError: another kind of name.
        """
        types: dict[str, int] = {}
        kinds, numbers = [], []
        for name in names:
            letter, _, of = name.partition("-")
            if not (name == "O" or (letter in ("B", "I") and of)):
                raise DataError(f"tag {name!r} is not O, B-<type> or I-<type>; rename it.")
            kinds.append({"O": OUTSIDE, "B": BEGIN, "I": INSIDE}[letter])
            numbers.append(types.setdefault(of, len(types)) if of else -1)
        inside = [names.index(f"I-{name[2:]}") if f"I-{name[2:]}" in names else i for i, name in enumerate(names)]
        eos = len(names)
        return cls(torch.tensor([*kinds, OUTSIDE]), torch.tensor([*numbers, -1]), torch.tensor([*inside, eos]))

    def to(self, device: torch.device) -> Tags:
        return Tags(self.kind.to(device), self.type.to(device), self.inside.to(device))


def starts_and_ends(tokens: Tensor, tags: Tags) -> tuple[Tensor, Tensor]:
    """Where chunks start (R, W) bool, and the last place of the chunk that holds a place (R, W); EOS is outside."""
    kind, of = tags.kind[tokens], tags.type[tokens]
    before = torch.nn.functional.pad(of, (1, 0), value=-1)[:, :-1]
    goes_on = (kind == INSIDE) & (before == of)
    start = (kind != OUTSIDE) & ~goes_on
    places = torch.arange(tokens.shape[1], device=tokens.device).expand_as(tokens)
    next_goes_on = torch.nn.functional.pad(goes_on, (0, 1))[:, 1:]
    stop = torch.where(next_goes_on, tokens.shape[1], places)
    end = stop.flip(1).cummin(1).values.flip(1)
    return start, end


def matched_chunks(hyps: Tensor, refs: References, sentence: Tensor, tags: Tags) -> tuple[Tensor, Tensor, Tensor]:
    """Right, found and wanted chunks, (R,) float64 each."""
    width = max(hyps.shape[1], refs.tokens.shape[1])
    hyps = torch.nn.functional.pad(hyps, (0, width - hyps.shape[1]), value=refs.eos)
    places = torch.arange(width, device=hyps.device)
    hyps = hyps.masked_fill(places >= lengths(hyps, refs.eos).unsqueeze(1), refs.eos)
    truth = refs.padded(width)
    start, end = starts_and_ends(hyps, tags)
    known_start, known_end = starts_and_ends(truth, tags)
    same_type = tags.type[hyps] == tags.type[truth][sentence]
    right = start & known_start[sentence] & same_type & (end == known_end[sentence])
    return right.sum(1).double(), start.sum(1).double(), known_start.sum(1)[sentence].double()
