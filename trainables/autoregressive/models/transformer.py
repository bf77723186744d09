"""A small pre-norm Transformer whose roll-outs share the key-value cache of their prefix.

A roll-out keeps keys and values of its own tokens only. Its attention is one softmax over the sentence's prefix
(places after its cell are masked) and its own tokens, so a prefix is stored once for all its roll-outs.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, scaled_dot_product_attention

from trainables.autoregressive.models.decoder import Dropout, LayerList, Rows, Seq2Seq, Source, Trace


class FeedForward(nn.Module):
    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.norm, self.wide, self.narrow = (
            nn.LayerNorm(width),
            nn.Linear(width, 2 * width),
            nn.Linear(2 * width, width),
        )
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.dropout(self.narrow(torch.relu(self.wide(self.norm(x)))))
        return x + change


class Heads(nn.Module):
    """Projections of multi-head attention, pre-norm; (..., S, width) <-> (..., heads, S, d)."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.dropout = Dropout(dropout)

    def split(self, x: Tensor) -> Tensor:
        split: Tensor = x.unflatten(-1, (self.heads, -1))
        return split.transpose(-2, -3)

    def merged(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.dropout(self.out(x.transpose(-2, -3).flatten(-2)))
        return mixed


class EncoderLayer(nn.Module):
    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.attention, self.feed = Heads(width, heads, dropout), FeedForward(width, dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        own = self.attention
        y = own.norm(x)
        q, k, v = (own.split(part(y)) for part in (own.query, own.key, own.value))
        found: Tensor = self.feed(x + own.merged(scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None])))
        return found


class DecoderLayer(nn.Module):
    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.own, self.cross = Heads(width, heads, dropout), Heads(width, heads, dropout)
        self.feed = FeedForward(width, dropout)

    def look(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """Cross-attention of states (G, M, width) to a sentence's memory (G, heads, S, d), then the feed-forward."""
        q = self.cross.split(self.cross.query(self.cross.norm(x)))
        found = scaled_dot_product_attention(q, keys, values, attn_mask=mask[:, None, None])
        after: Tensor = self.feed(x + self.cross.merged(found))
        return after


class Transformer(Seq2Seq):
    """Pre-norm encoder-decoder with learned positions and tied output embeddings.

    Args:
        inputs: size of the source's vocabulary, or number of features of its real vectors.
        longest: largest number of places of a source or a target.
    """

    grouped = True

    def __init__(
        self,
        vocabulary: int,
        inputs: int,
        tokens: bool,
        width: int,
        layers: int,
        heads: int,
        longest: int,
        dropout: float,
    ) -> None:
        super().__init__(vocabulary)
        self.read = nn.Embedding(inputs, width) if tokens else nn.Linear(inputs, width)
        self.source_places, self.places = nn.Embedding(longest, width), nn.Embedding(longest, width)
        self.embedding = nn.Embedding(vocabulary + 1, width)
        self.encoder: LayerList[EncoderLayer] = LayerList(EncoderLayer(width, heads, dropout) for _ in range(layers))
        self.decoder: LayerList[DecoderLayer] = LayerList(DecoderLayer(width, heads, dropout) for _ in range(layers))
        self.encoded, self.decoded = nn.LayerNorm(width), nn.LayerNorm(width)
        self.dropout = Dropout(dropout)
        self.bias = nn.Parameter(torch.zeros(vocabulary))

    def _shared(self, source: Source) -> Rows:
        """The mask, then keys and values of the memory for each decoder layer."""
        places = torch.arange(source.values.shape[1], device=source.values.device)
        x = self.dropout(self.read(source.values) + self.source_places(places))
        for encoder in self.encoder:
            x = encoder(x, source.mask)
        x = self.encoded(x)
        shared = [source.mask]
        for decoder in self.decoder:
            cross = decoder.cross
            shared += [cross.split(cross.key(x)), cross.split(cross.value(x))]
        return tuple(shared)

    def _scores(self, x: Tensor) -> Tensor:
        return linear(self.decoded(x), self.embedding.weight[: self.vocabulary], self.bias)

    def forward(self, source: Source, fed: Tensor) -> tuple[Tensor, Trace]:
        shared = self._shared(source)
        sentences, n, steps = fed.shape
        x = self.dropout(self.embedding(fed) + self.places(torch.arange(steps, device=fed.device))).flatten(1, 2)
        caches = []
        for i, layer in enumerate(self.decoder):
            own, y = layer.own, layer.own.norm(x).reshape(sentences * n, steps, -1)
            q, k, v = (own.split(part(y)) for part in (own.query, own.key, own.value))
            found = own.merged(scaled_dot_product_attention(q, k, v, is_causal=True))
            x = layer.look(x + found.reshape(x.shape), shared[2 * i + 1], shared[2 * i + 2], shared[0])
            caches += [part.unflatten(0, (sentences, n))[:, 0].transpose(1, 2).detach() for part in (k, v)]
        trace = Trace(tuple(part.detach() for part in shared), tuple(caches))
        return self._scores(x).unflatten(1, (n, steps)), trace

    # -- rows: (time of the cell, own keys and values (G, M, s, heads, d) of each layer); -1: nothing was fed ----------

    def begin(self, source: Source) -> tuple[Rows, Rows]:
        shared = self._shared(source)
        sentences = len(source)
        heads = self.decoder[0].own.heads
        size = self.places.embedding_dim // heads
        empty = shared[1].new_zeros(sentences, 0, heads, size)
        rows = (torch.full((sentences, 1), -1, device=empty.device), *self._no_tokens((sentences, 1), empty))
        return (*shared, *(empty for _ in range(2 * len(self.decoder)))), rows

    def _no_tokens(self, grid: tuple[int, int], like: Tensor) -> Rows:
        empty = like.new_zeros(*grid, 0, *like.shape[2:])
        return tuple(empty for _ in range(2 * len(self.decoder)))

    def branch(self, trace: Trace, group: Tensor, sentence: Tensor, time: Tensor, cell: Tensor) -> tuple[Rows, Rows]:
        shared = tuple(part[group] for part in (*trace.shared, *trace.states))
        return shared, (time[cell], *self._no_tokens((cell.shape[0], cell.shape[1]), trace.states[0]))

    def advance(self, shared: Rows, rows: Rows, tokens: Tensor) -> tuple[Tensor, Rows]:
        time, caches = rows[0], rows[1:]
        depth = len(self.decoder)
        memory, prefixes = shared[1 : 1 + 2 * depth], shared[1 + 2 * depth :]
        place = time + 1 + caches[0].shape[2]
        # Rows that have used up their places still fill the grid; what they choose is never read.
        x = self.embedding(tokens) + self.places(place.clamp_max(self.places.num_embeddings - 1))
        after = [time]
        for i, layer in enumerate(self.decoder):
            own, y = layer.own, layer.own.norm(x)
            q, k, v = (part(y).unflatten(-1, (own.heads, -1)) for part in (own.query, own.key, own.value))
            keys, values = (torch.cat([cache, new.unsqueeze(2)], 2)
                            for cache, new in ((caches[2 * i], k), (caches[2 * i + 1], v)))  # fmt: skip
            found = _attend(q, keys, values, prefixes[2 * i], prefixes[2 * i + 1], time)
            x = x + own.dropout(own.out(found.flatten(-2)))
            x = layer.look(x, memory[2 * i], memory[2 * i + 1], shared[0])
            after += [keys, values]
        return self._scores(x), tuple(after)


def _attend(
    q: Tensor, keys: Tensor, values: Tensor, prefix_keys: Tensor, prefix_values: Tensor, time: Tensor
) -> Tensor:
    """Attention of one query per row to its sentence's prefix up to its cell and to its own tokens, (G, M, heads, d).

    Args:
        q: (G, M, heads, d).
        keys, values: (G, M, s, heads, d), the row's own.
        prefix_keys, prefix_values: (G, T, heads, d), of all rows of the group.
        time: (G, M) the last place of the prefix that a row may see.
    """
    scale = q.shape[-1] ** -0.5
    shared = torch.einsum("gmhd,gthd->gmht", q, prefix_keys)
    places = torch.arange(prefix_keys.shape[1], device=q.device)
    shared = shared.masked_fill(places > time[..., None, None], -torch.inf)
    own = torch.einsum("gmhd,gmshd->gmhs", q, keys)
    weights = (torch.cat([shared, own], 3) * scale).softmax(3)
    of_prefix, of_own = weights.split([shared.shape[3], own.shape[3]], 3)
    return torch.einsum("gmht,gthd->gmhd", of_prefix, prefix_values) + torch.einsum("gmhs,gmshd->gmhd", of_own, values)
