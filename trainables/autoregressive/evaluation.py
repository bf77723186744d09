"""The task's metric: decode a split, all workers together, and score the corpus."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import torch
from rapidfuzz.distance import Levenshtein
from torch import Tensor

from raybayes.contract import Context
from trainables.autoregressive.config import Config
from trainables.autoregressive.costs.sequence_costs import hamming_count, kendall
from trainables.autoregressive.models import Seq2Seq
from trainables.autoregressive.rollouts.search import decode
from trainables.autoregressive.sequences.chunks import matched_chunks
from trainables.autoregressive.sequences.references import lengths
from trainables.autoregressive.tasks.data import Data, Split

_AT_ONCE = 256  # sentences


def decoded(model: Seq2Seq, split: Split, config: Config, ctx: Context) -> Tensor:
    """Hypotheses (N, W) of a whole split on the CPU; each worker decodes its share of the sentences."""
    mine = torch.arange(ctx.rank, len(split), ctx.world_size, device=ctx.device)
    by_length = mine[split.source.length[mine].argsort(dim=0, stable=True)]
    width = int(split.limits.cap.max())
    found = torch.full((len(split), width), split.refs.eos)
    for index in by_length.split(_AT_ONCE):
        part = split.pick(index)
        hyps = decode(model, part.source, part.limits, config.beam, config.length_penalty, config.beam_scale)
        found[index.cpu(), : hyps.shape[1]] = hyps.cpu()
    if ctx.world_size == 1:
        return found
    whole = torch.full_like(found, split.refs.eos)
    for rank, theirs in enumerate(ctx.gather(found)):
        whole[rank :: ctx.world_size] = theirs[rank :: ctx.world_size]
    return whole


def readings(hyps: Tensor, split: Split, data: Data) -> tuple[list[list[str]], list[list[str]]]:
    """What hypotheses and targets read, symbol by symbol. <unk> in a hypothesis matches no symbol of a target."""
    length = lengths(hyps, split.refs.eos).tolist()
    rows = [row[:n] for row, n in zip(hyps.tolist(), length, strict=True)]
    if not data.rules.once:
        return [[data.symbols[token] for token in row] for row in rows], [list(text) for text in split.texts]
    targets = [row[:n] for row, n in zip(split.refs.tokens.tolist(), split.refs.length.tolist(), strict=True)]
    found, wanted = (
        [[text[place] for place in order] for text, order in zip(split.texts, orders, strict=True)]
        for orders in (rows, targets)
    )
    return found, wanted


def scores(hyps: Tensor, split: Split, data: Data, task: str) -> dict[str, float]:
    """The metrics of a task; `error` is the one that is minimised.

    `hamming`, `cer`, `kendall` in %, over all symbols (pairs) of the corpus or, for kendall, mean over sentences;
    `bleu` of sacrebleu without tokenising; `f1` of chunks in %.
    """
    split = split.to(torch.device("cpu"))
    found, wanted = readings(hyps, split, data)
    wrong = sum(one != other for one, other in zip(found, wanted, strict=True))
    metrics = {"sequence_error": 100 * wrong / len(split)}
    rows = torch.arange(len(split))
    if task in ("ocr", "chunking"):
        metrics["hamming"] = 100 * float(hamming_count(hyps, split.refs, rows).sum() / split.refs.length.sum())
    if task == "spelling":
        distance = sum(Levenshtein.distance(one, other) for one, other in zip(found, wanted, strict=True))
        metrics["cer"] = 100 * distance / sum(map(len, wanted))
    if task == "ordering":
        metrics["kendall"] = 100 * float(kendall(hyps, split.refs, rows).mean())
    if task in ("translation", "ordering"):
        metrics["bleu"] = corpus_bleu(found, wanted)
    if task == "chunking" and data.tags is not None:
        right, guessed, there = (float(x.sum()) for x in matched_chunks(hyps, split.refs, rows, data.tags))
        metrics["f1"] = 100 * 2 * right / max(guessed + there, 1.0)
    metrics["error"] = {
        "ocr": metrics.get("hamming", 0.0),
        "spelling": metrics.get("cer", 0.0),
        "translation": 100 - metrics.get("bleu", 0.0),
        "ordering": metrics.get("kendall", 0.0),
        "chunking": 100 - metrics.get("f1", 0.0),
    }[task]
    return metrics


def corpus_bleu(found: Sequence[Sequence[str]], wanted: Sequence[Sequence[str]]) -> float:
    """BLEU-4 of sacrebleu, 0 .. 100, of texts that are tokenised already."""
    import sacrebleu

    hyps, refs = ([" ".join(words) for words in texts] for texts in (found, wanted))
    return float(sacrebleu.corpus_bleu(hyps, [refs], tokenize="none", force=True).score)


def predictions(hyps: Tensor, split: Split, data: Data) -> pa.Table:
    """What was read and what was meant."""
    found, wanted = readings(hyps, split, data)
    texts = [[data.joiner.join(text) for text in side] for side in (found, wanted)]
    right = [one == other for one, other in zip(found, wanted, strict=True)]
    return pa.table({"sentence": list(range(len(split))), "hypothesis": texts[0], "target": texts[1], "right": right})
