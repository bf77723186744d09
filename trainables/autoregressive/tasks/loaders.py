"""The task and the model that a configuration names."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pyarrow as pa
import torch

from raybayes.contract import Context, require_entries
from trainables.autoregressive.config import Config, ModelKind, TaskName, dataset_of
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
        DataError: the data do not fit the task.
    """
    return read_task(config, ctx.data(dataset_of(config)))


def read_task(config: Config, tables: Mapping[str, pa.Table]) -> Data:
    """The same from the tables of its data set."""
    return LOADERS[config.task](config, tables, dataset_of(config))


LOADERS: dict[TaskName, Callable[[Config, Mapping[str, pa.Table], str], Data]] = {
    "ocr": lambda config, tables, where: ocr.load(tables, config.ocr, where),
    "spelling": lambda config, tables, where: spelling.load(tables, config.spelling, where),
    "translation": lambda config, tables, where: translation.load(tables, config.translation, where),
    "ordering": lambda config, tables, where: ordering.load(tables, config.ordering, where),
    "chunking": lambda config, tables, where: chunking.load(tables, where),
}
require_entries(TaskName, LOADERS, "trainables/autoregressive/tasks/loaders.py: LOADERS")


def build_model(config: Config, data: Data, weights: torch.Generator, noise: torch.Generator) -> Seq2Seq:
    """A model with fresh weights.

    Args:
        weights: CPU generator of the first weights.
        noise: of dropout, on the device of the model.
    """
    model = MODELS[config.model.kind](config, data)
    initialise(model, weights)
    set_generator(model, noise)
    return model


def _transformer(config: Config, data: Data) -> Seq2Seq:
    values = config.model
    return Transformer(data.vocabulary, data.inputs, data.tokens, values.hidden, values.layers, values.heads,
                       data.longest, values.dropout)  # fmt: skip


def _gru(kind: type[GruSeq2Seq]) -> Callable[[Config, Data], Seq2Seq]:
    def build(config: Config, data: Data) -> Seq2Seq:
        values = config.model
        encoder = GruEncoder(
            data.inputs, data.tokens, values.hidden, values.layers, values.bidirectional, values.dropout
        )
        return kind(data.vocabulary, encoder, values.hidden, values.layers, values.attention, values.dropout)

    return build


MODELS: dict[ModelKind, Callable[[Config, Data], Seq2Seq]] = {
    "gru": _gru(GruSeq2Seq),
    "transformer": _transformer,
    "pointer": _gru(PointerGru),
}
require_entries(ModelKind, MODELS, "trainables/autoregressive/tasks/loaders.py: MODELS")
