"""The task's metric: decode a split on all workers, and score the corpus."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import torch
from rapidfuzz.distance import Levenshtein
from torch import Tensor

from raybayes.contract import Context, require_entries
from trainables.autoregressive.config import Config, TaskName
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


def scores(hyps: Tensor, split: Split, data: Data, task: TaskName) -> dict[str, float]:
    """The metrics of a task; `error` is minimised.

    `hamming`, `cer`, `kendall` in %, over all symbols (pairs) of the corpus or, for kendall, mean over sentences;
    `bleu` by sacrebleu without tokenising; `f1` of chunks in %.
    """
    split = split.to(torch.device("cpu"))
    found, wanted = readings(hyps, split, data)
    wrong = sum(one != other for one, other in zip(found, wanted, strict=True))
    return {"sequence_error": 100 * wrong / len(split), **SCORES[task](Corpus(hyps, split, data, found, wanted))}


@dataclass(frozen=True)
class Corpus:
    """Hypotheses (N, W) of a split on the CPU, and what they and the targets read, symbol by symbol."""

    hyps: Tensor
    split: Split
    data: Data
    found: list[list[str]]
    wanted: list[list[str]]

    @property
    def rows(self) -> Tensor:
        return torch.arange(len(self.split))

    def hamming(self) -> float:
        """Wrong symbols of all, in %."""
        wrong = hamming_count(self.hyps, self.split.refs, self.rows).sum()
        return 100 * float(wrong / self.split.refs.length.sum())


def _ocr(corpus: Corpus) -> dict[str, float]:
    hamming = corpus.hamming()
    return {"hamming": hamming, "error": hamming}


def _spelling(corpus: Corpus) -> dict[str, float]:
    distance = sum(Levenshtein.distance(one, other) for one, other in zip(corpus.found, corpus.wanted, strict=True))
    cer = 100 * distance / sum(map(len, corpus.wanted))
    return {"cer": cer, "error": cer}


def _translation(corpus: Corpus) -> dict[str, float]:
    bleu = corpus_bleu(corpus.found, corpus.wanted)
    return {"bleu": bleu, "error": 100 - bleu}


def _ordering(corpus: Corpus) -> dict[str, float]:
    distance = 100 * float(kendall(corpus.hyps, corpus.split.refs, corpus.rows).mean())
    return {"kendall": distance, "bleu": corpus_bleu(corpus.found, corpus.wanted), "error": distance}


def _chunking(corpus: Corpus) -> dict[str, float]:
    if corpus.data.tags is None:
        raise ValueError("chunks need the meaning of the tags")
    counts = matched_chunks(corpus.hyps, corpus.split.refs, corpus.rows, corpus.data.tags)
    right, guessed, there = (float(count.sum()) for count in counts)
    f1 = 100 * 2 * right / max(guessed + there, 1.0)
    return {"hamming": corpus.hamming(), "f1": f1, "error": 100 - f1}


SCORES: dict[TaskName, Callable[[Corpus], dict[str, float]]] = {
    "ocr": _ocr,
    "spelling": _spelling,
    "translation": _translation,
    "ordering": _ordering,
    "chunking": _chunking,
}
require_entries(TaskName, SCORES, "trainables/autoregressive/evaluation.py: SCORES")


def corpus_bleu(found: Sequence[Sequence[str]], wanted: Sequence[Sequence[str]]) -> float:
    """BLEU-4 of sacrebleu, 0 .. 100, of tokenised texts."""
    import sacrebleu

    hyps, refs = ([" ".join(words) for words in texts] for texts in (found, wanted))
    return float(sacrebleu.corpus_bleu(hyps, [refs], tokenize="none", force=True).score)


def predictions(hyps: Tensor, split: Split, data: Data) -> pa.Table:
    """One row per sentence: hypothesis, target, and whether they agree."""
    found, wanted = readings(hyps, split, data)
    texts = [[data.joiner.join(text) for text in side] for side in (found, wanted)]
    right = [one == other for one, other in zip(found, wanted, strict=True)]
    return pa.table({"sentence": list(range(len(split))), "hypothesis": texts[0], "target": texts[1], "right": right})
