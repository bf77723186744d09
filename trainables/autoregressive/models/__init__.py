"""Encoder-decoders that can continue from any of their states."""

from trainables.autoregressive.models.decoder import Rows, Seq2Seq, Source, Trace, initialise, set_generator
from trainables.autoregressive.models.gru import GruEncoder, GruSeq2Seq, PointerGru
from trainables.autoregressive.models.transformer import Transformer

__all__ = [
    "GruEncoder",
    "GruSeq2Seq",
    "PointerGru",
    "Rows",
    "Seq2Seq",
    "Source",
    "Trace",
    "Transformer",
    "initialise",
    "set_generator",
]
