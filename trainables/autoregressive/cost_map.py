"""The costs of a few sentences, for the heat map."""

from __future__ import annotations

import pyarrow as pa
import torch

from trainables.autoregressive.config import Config, cost_of, policy_of
from trainables.autoregressive.draws import Draws
from trainables.autoregressive.evaluation import readings
from trainables.autoregressive.models import Seq2Seq
from trainables.autoregressive.rollouts.cost_vectors import RollOutSettings, cost_vectors
from trainables.autoregressive.rollouts.rollin import ground_truth
from trainables.autoregressive.rollouts.sampling import TokenChoice, choose_tokens
from trainables.autoregressive.rollouts.search import decode
from trainables.autoregressive.tasks.data import Data, Split

CPU = torch.device("cpu")
SENTENCES = 3
_SHOWN = 64  # of a larger vocabulary, only the likeliest tokens are tried
_LIKELIEST = 15


@torch.no_grad()
def cost_map(model: Seq2Seq, split: Split, data: Data, config: Config) -> pa.Table:
    """Cost of every tried token after a ground-truth prefix, completed by the model, one row per token.

    Further columns: what the model decodes for the sentence, and the target.
    """
    part = split.thinned(SENTENCES)
    training = model.training
    model.eval()
    rolled = ground_truth(part.refs)
    scores, trace = model(part.source, rolled.fed(model.bos))
    cells = torch.minimum(rolled.cells, part.limits.cap)  # a validation target may be longer than all training targets
    inside = torch.arange(rolled.tokens.shape[1], device=cells.device) < cells.unsqueeze(1)
    row, time = inside.nonzero(as_tuple=True)
    choice = TokenChoice() if data.vocabulary <= _SHOWN else TokenChoice("union", k=1, top=_LIKELIEST, reach=0)
    numbers = torch.arange(len(part), device=row.device)
    tried = choose_tokens(choice, rolled, row, time, scores[row, 0, time], part.refs, part.limits, Draws(0), numbers)
    tags = data.tags.to(row.device) if data.tags is not None else None
    settings = RollOutSettings("learned", policy_of(config), cost_of(config), chunk=config.chunk, tags=tags)
    found = cost_vectors(
        model, trace, tried, part.refs, part.limits, settings, torch.zeros_like(part.refs.length).bool()
    )
    model.train(training)
    names = [*data.symbols, "<end>"]
    hyps = decode(model, part.source, part.limits, config.beam, config.length_penalty, config.beam_scale)
    decoded, target = ([data.joiner.join(text) for text in side] for side in readings(hyps.cpu(), part.to(CPU), data))
    truth = part.refs.padded(rolled.tokens.shape[1])[row, time]
    cell, column = tried.mask.nonzero(as_tuple=True)
    return pa.table(
        {
            "sentence": row[cell].tolist(),
            "time": time[cell].tolist(),
            "truth": [names[token] for token in truth[cell].tolist()],
            "token": [names[token] for token in tried.tokens[cell, column].tolist()],
            "cost": found.costs[cell, column].tolist(),
            "decoded": [decoded[sentence] for sentence in row[cell].tolist()],
            "target": [target[sentence] for sentence in row[cell].tolist()],
        }
    )
