"""From a configuration to its task and its model."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import torch

from raybayes.contract import Context
from trainables.autoregressive.config import Config, dataset_of
from trainables.autoregressive.models import (
    GruEncoder,
    GruSeq2Seq,
    PointerGru,
    Seq2Seq,
    Transformer,
    initialise,
    set_generator,
)
from trainables.autoregressive.tasks import chunking, ocr, ordering, spelling, translation
from trainables.autoregressive.tasks.data import Data


def load_task(config: Config, ctx: Context) -> Data:
    """The task's data.

    Raises:
        DataError: what the task's `load` finds wrong.
    """
    return read_task(config, ctx.data(dataset_of(config)))


def read_task(config: Config, tables: Mapping[str, pa.Table]) -> Data:
    """The same from the tables of its data set."""
    where = dataset_of(config)
    if config.task == "ocr":
        return ocr.load(tables, config.ocr, where)
    if config.task == "spelling":
        return spelling.load(tables, config.spelling, where)
    if config.task == "translation":
        return translation.load(tables, config.translation, where)
    if config.task == "ordering":
        return ordering.load(tables, config.ordering, where)
    return chunking.load(tables, where)


def build_model(config: Config, data: Data, weights: torch.Generator, noise: torch.Generator) -> Seq2Seq:
    """A model with fresh weights.

    Args:
        weights: CPU generator of the first weights.
        noise: of dropout, on the device of the model.
    """
    values = config.model
    model: Seq2Seq
    if values.kind == "transformer":
        model = Transformer(data.vocabulary, data.inputs, data.tokens, values.hidden, values.layers, values.heads,
                            data.longest, values.dropout)  # fmt: skip
    else:
        encoder = GruEncoder(
            data.inputs, data.tokens, values.hidden, values.layers, values.bidirectional, values.dropout
        )
        kind = PointerGru if values.kind == "pointer" else GruSeq2Seq
        model = kind(data.vocabulary, encoder, values.hidden, values.layers, values.attention, values.dropout)
    initialise(model, weights)
    set_generator(model, noise)
    return model
