"""GRU encoder-decoders: without attention, with additive or dot attention, and with a pointer as output."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, linear
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from trainables.autoregressive.models.decoder import Dropout, LayerList, Rows, Seq2Seq, Source, Trace

Attention = Literal["none", "additive", "dot"]
_OUT_OF_REACH = -1e9  # score of a padding place: finite, so that 0 * score stays 0


class GruEncoder(nn.Module):
    """A GRU over the source.

    Args:
        inputs: size of the source's vocabulary, or number of features of its real vectors.
        tokens: whether the source is tokens, which are embedded, or real vectors, which are used directly.
        hidden: units of each direction.
    """

    def __init__(self, inputs: int, tokens: bool, hidden: int, layers: int, bidirectional: bool, dropout: float):
        super().__init__()
        self.embedding = nn.Embedding(inputs, hidden) if tokens else None
        self.dropout = Dropout(dropout)
        width = hidden * (2 if bidirectional else 1)
        first = hidden if tokens else inputs
        self.layers = nn.ModuleList(
            nn.GRU(first if i == 0 else width, hidden, batch_first=True, bidirectional=bidirectional)
            for i in range(layers)
        )
        self.width = width

    def forward(self, source: Source) -> tuple[Tensor, Tensor]:
        """(B, S, width) outputs, 0 at padding, and the final state of the last layer (B, width)."""
        x = source.values if self.embedding is None else self.embedding(source.values)
        length = source.length.cpu()
        for layer in self.layers:
            packed = pack_padded_sequence(self.dropout(x), length, batch_first=True, enforce_sorted=False)
            out, last = layer(packed)
            x, _ = pad_packed_sequence(out, batch_first=True, total_length=source.values.shape[1])
        return x, last.transpose(0, 1).flatten(1)


def gru_cell(gates: Tensor, recurrent: Tensor, state: Tensor) -> Tensor:
    """The next state (..., H) from W_ih x + b_ih and W_hh h + b_hh, (..., 3H) each."""
    size = state.shape[-1]
    both = torch.add(gates[..., : 2 * size], recurrent[..., : 2 * size]).sigmoid_()
    new = torch.addcmul(gates[..., 2 * size :], both[..., :size], recurrent[..., 2 * size :]).tanh_()
    return torch.lerp(new, state, both[..., size:])


def _input(layer: nn.GRU) -> tuple[Tensor, Tensor]:
    """W_ih (3H, inputs) and b_ih (3H,) of a layer."""
    return layer.get_parameter("weight_ih_l0"), layer.get_parameter("bias_ih_l0")


def _recurrent(layer: nn.GRU) -> tuple[Tensor, Tensor]:
    """W_hh (3H, H) and b_hh (3H,) of a layer."""
    return layer.get_parameter("weight_hh_l0"), layer.get_parameter("bias_hh_l0")


def _later(state: Tensor) -> Tensor:
    """Placeholder for W_hh h + b_hh, which the next step computes for the rows that remain."""
    return state.new_empty(*state.shape[:-1], 0)


class GruSeq2Seq(Seq2Seq):
    """GRU encoder-decoder. The input half of the first layer is a table of V + 1 rows, shared by all roll-outs.

    Args:
        vocabulary: V, EOS included.
        encoder: what reads the source.
        hidden: units of a decoder layer, and the size of embeddings.
        attention: "none" (the encoder's final state is the only link), "additive" (v·tanh(W enc + U h)) or
            "dot" (enc·W h).

    The attention's matrices are applied to the memory, once per sentence, not to the states of all its roll-outs:
    enc·(W h) is (W'enc)·h, and the context's part of the mixing layer C(sum_j a_j enc_j) is sum_j a_j C enc_j.
    """

    def __init__(
        self, vocabulary: int, encoder: GruEncoder, hidden: int, layers: int, attention: Attention, dropout: float
    ):
        super().__init__(vocabulary)
        self.encoder, self.hidden, self.attention = encoder, hidden, attention
        self.grouped = attention != "none"
        self.dropout = Dropout(dropout)
        self.bridges = nn.ModuleList(nn.Linear(encoder.width, hidden) for _ in range(layers))
        self.layers: LayerList[nn.GRU] = LayerList(nn.GRU(hidden, hidden, batch_first=True) for _ in range(layers))
        if self.grouped:
            self.query = nn.Linear(hidden, hidden if attention == "additive" else encoder.width, bias=False)
            self.mix = nn.Linear(encoder.width + hidden, hidden)
        if attention == "additive":
            self.keys = nn.Linear(encoder.width, hidden, bias=False)
            self.energy = nn.Linear(hidden, 1, bias=False)
        self._build_ends()

    def _build_ends(self) -> None:
        """The embedding and output layers."""
        self.embedding = nn.Embedding(self.vocabulary + 1, self.hidden)
        self.output = nn.Linear(self.hidden, self.vocabulary)

    # -- what a sentence's rows share: embeddings (1 or B, V + 1, 3H), then keys, values and mask with attention ------

    def _embeddings(self, memory: Tensor) -> Tensor:
        """(1, V + 1, H)."""
        return self.embedding.weight.unsqueeze(0)

    def _look_up(self, table: Tensor, tokens: Tensor) -> Tensor:
        """Rows (B, ..., D) of a table (B or 1, V + 1, D)."""
        if len(table) == 1:
            return embedding(tokens, table[0])
        flat = tokens.flatten(1).unsqueeze(2).expand(-1, -1, table.shape[2])
        return table.gather(1, flat).reshape(*tokens.shape, table.shape[2])

    def _shared(self, source: Source, memory: Tensor, embeddings: Tensor) -> Rows:
        layer = self.layers[0]
        table = linear(embeddings, *_input(layer))
        if not self.grouped:
            return (table,)
        keys = self.keys(memory) if self.attention == "additive" else memory @ self.query.weight
        return table, keys, linear(memory, self._of_context()), source.mask

    def _of_context(self) -> Tensor:
        """(H, width of the memory): the part of the mixing layer that reads the context; the rest reads the state."""
        return self.mix.weight[:, : self.encoder.width]

    def _start(self, last: Tensor) -> Rows:
        return tuple(torch.tanh(bridge(last)) for bridge in self.bridges)

    def forward(self, source: Source, fed: Tensor) -> tuple[Tensor, Trace]:
        memory, last = self.encoder(source)
        sentences, n, steps = fed.shape
        embeddings = self._embeddings(memory)
        x = self._look_up(embeddings, fed).flatten(0, 1)
        states = []
        for layer, start in zip(self.layers, self._start(last), strict=True):
            x, _ = layer(self.dropout(x), start.repeat_interleave(n, 0).unsqueeze(0))
            states.append(x.unflatten(0, (sentences, n))[:, 0].detach())
        shared = self._shared(source, memory, embeddings)
        scores = self._scores(shared, self.dropout(x).reshape(sentences, n * steps, -1))
        trace = Trace(tuple(part.detach() for part in shared), tuple(states))
        return scores.unflatten(1, (n, steps)), trace

    def begin(self, source: Source) -> tuple[Rows, Rows]:
        memory, last = self.encoder(source)
        rows = []
        for start in self._start(last):
            rows += [start.unsqueeze(1), _later(start.unsqueeze(1))]
        return self._shared(source, memory, self._embeddings(memory)), tuple(rows)

    def branch(self, trace: Trace, group: Tensor, sentence: Tensor, time: Tensor, cell: Tensor) -> tuple[Rows, Rows]:
        rows = []
        for layer, states in zip(self.layers, trace.states, strict=True):
            state = states[sentence, time]  # (N, H): the recurrent half is computed once per cell, not per row
            rows += [state[cell], linear(state, *_recurrent(layer))[cell]]
        table, *others = trace.shared
        if self._own_tables:
            table = table[group]  # a table shared by all sentences is never copied
        return (table, *(part[group] for part in others)), tuple(rows)

    def advance(self, shared: Rows, rows: Rows, tokens: Tensor) -> tuple[Tensor, Rows]:
        gates, after = self._look_up(shared[0], tokens), []
        for i, layer in enumerate(self.layers):
            state, recurrent = rows[2 * i], rows[2 * i + 1]
            if not recurrent.shape[2]:
                recurrent = linear(state, *_recurrent(layer))
            state = gru_cell(gates, recurrent, state)
            after += [state, _later(state)]
            if i + 1 < len(self.layers):
                following = self.layers[i + 1]
                gates = linear(state, *_input(following))
        return self._scores(shared, after[-2]), tuple(after)

    _own_tables = False  # whether every sentence has embeddings of its own

    def _attended(self, shared: Rows, state: Tensor) -> Tensor:
        """(B, M, H): states (B, M, H) mixed with their context; one bmm against tensors that are never copied."""
        _, keys, values, mask, *_ = shared
        if self.attention == "dot":
            scores = state @ keys.transpose(1, 2)
        else:
            scores = self.energy(torch.tanh(keys.unsqueeze(1) + self.query(state).unsqueeze(2))).squeeze(3)
        weights = scores.masked_fill(~mask.unsqueeze(1), -torch.inf).softmax(2)
        return linear(state, self.mix.weight[:, self.encoder.width :], self.mix.bias) + weights @ values

    def _scores(self, shared: Rows, state: Tensor) -> Tensor:
        scores: Tensor = self.output(self._attended(shared, state) if self.grouped else state)
        return scores


class PointerGru(GruSeq2Seq):
    """Tokens are places of the source: token a is embedded by the encoder's output at place a, and scored against it.

    References:
        Vinyals, Fortunato, Jaitly, "Pointer networks", NeurIPS 2015, arXiv 1506.03134.
    """

    _own_tables = True

    def _build_ends(self) -> None:
        self.places = nn.Linear(self.encoder.width, self.hidden)
        self.ends = nn.Embedding(2, self.hidden)  # EOS and the start
        self.match = nn.Linear(self.hidden, self.encoder.width, bias=False)
        self.stop = nn.Linear(self.hidden, 1)

    def _embeddings(self, memory: Tensor) -> Tensor:
        places = self.places(memory)
        missing = self.vocabulary - 1 - memory.shape[1]
        places = torch.nn.functional.pad(places, (0, 0, 0, missing))
        return torch.cat([places, self.ends.weight.expand(len(memory), -1, -1)], 1)

    def _shared(self, source: Source, memory: Tensor, embeddings: Tensor) -> Rows:
        """As in the base class, and the keys of places, (B, S, H)."""
        return (*super()._shared(source, memory, embeddings), memory @ self.match.weight)

    def _scores(self, shared: Rows, state: Tensor) -> Tensor:
        *_, mask, places = shared
        mixed = self._attended(shared, state)
        scores = (mixed @ places.transpose(1, 2)).masked_fill(~mask.unsqueeze(1), _OUT_OF_REACH)
        missing = self.vocabulary - 1 - places.shape[1]
        scores = torch.nn.functional.pad(scores, (0, missing), value=_OUT_OF_REACH)
        return torch.cat([scores, self.stop(mixed)], 2)
