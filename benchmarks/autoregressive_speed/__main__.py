"""Time of roll-outs and costs: `python -m benchmarks.autoregressive_speed [--quick]`. About two minutes."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from benchmarks import measurement
from benchmarks.autoregressive_speed import reference
from benchmarks.measurement import Sample
from trainables.autoregressive.config import Config
from trainables.autoregressive.costs.sequence_costs import COSTS
from trainables.autoregressive.draws import Draws
from trainables.autoregressive.methods import METHODS, Step
from trainables.autoregressive.models import GruEncoder, GruSeq2Seq, Seq2Seq, Source, Trace, initialise
from trainables.autoregressive.optimiser import Optimiser
from trainables.autoregressive.rollouts.rollin import ground_truth
from trainables.autoregressive.rollouts.rollout import roll_out
from trainables.autoregressive.sequences.limits import Limits, Rules
from trainables.autoregressive.sequences.references import References
from trainables.autoregressive.sequences.tried import Tried
from trainables.autoregressive.stopwatch import Stopwatch
from trainables.autoregressive.tasks.data import Split

RESULTS = Path(__file__).parent.parent / "results"
LETTERS, HIDDEN, BATCH = 26, 128, 64
NOTES = """\
`python -m benchmarks.autoregressive_speed` made this page. Processor time (all threads) of one thread; the sides take
turns in one process, *n* rounds give the median; float32, untrained weights. *raybayes / side* below 1 means that
raybayes took less: 0.05 is twenty times as fast.

OCR size: 64 sequences of 3 to 14 letters, GRU of 128 units without attention, all 26 letters tried in every cell of the
target. *one at a time* is measured on 300 roll-outs of the same batch, drawn at random, and scaled to all;
*step by step* makes for each step of the roll-in one decode of all (sentence, letter) pairs to the longest sequence's
end, as the SeaRNN code does. A training step is roll-in, roll-outs, loss, backward pass, Adam; all 27 tokens, learned
roll-in, mixed roll-out.
Attention (dot), forward passes only, as roll-outs have no backward pass. Spelling: 16 sentences of 10 characters, 428
roll-outs each, 128 units; translation: 16 sentences of 20 words, 96 roll-outs each (8 cells of 12 tokens), 256 units.
*copied memory*: each row has a copy of its sentence's memory and attends to it as the formulas are written;
*copied keys and values*: the copies are of what raybayes makes of the memory once a sentence, so the difference is the
copying alone. With 4,000 words the output layer, which all sides have, takes most of the time.
n-grams: 5,000 pairs of up to 25 words, sentence BLEU-4, sacrebleu called pair by pair.
All sides give equal sequences, which the benchmark checks (sacrebleu's BLEU smooths otherwise; its n-gram counts are
compared in the tests).
"""


def ocr() -> tuple[Seq2Seq, Split]:
    """Random letters in words as long as those of the data, and an untrained model."""
    g = torch.Generator().manual_seed(0)
    length = 3 + (torch.rand(BATCH, generator=g) * torch.rand(BATCH, generator=g) * 17).long().clamp_max(11)
    words = [torch.randint(0, LETTERS, (n,), generator=g).tolist() for n in length.tolist()]
    refs = References.of(words, LETTERS)
    pictures = (torch.rand(BATCH, int(length.max()), 128, generator=g) < 0.2).float()
    source = Source(pictures, length)
    model = GruSeq2Seq(LETTERS + 1, GruEncoder(128, False, HIDDEN, 1, True, 0.0), HIDDEN, 1, "none", 0.0)
    initialise(model, g)
    limits = Limits(Rules(LETTERS, fixed=True), length, length + 1)
    return model, Split(source, refs, limits, [""] * BATCH)


def cells(model: Seq2Seq, split: Split) -> tuple[Trace, Tried]:
    """The trace of a ground-truth roll-in, and all letters in every cell of the target but the last."""
    rolled = ground_truth(split.refs)
    with torch.no_grad():
        _, trace = model(split.source, rolled.fed(model.bos))
    row, at = (torch.arange(rolled.tokens.shape[1]) < split.refs.length.unsqueeze(1)).nonzero(as_tuple=True)
    tokens = torch.arange(LETTERS).expand(len(row), -1)
    return trace, Tried(rolled.tokens, row, at, tokens, torch.ones_like(tokens, dtype=torch.bool))


def timed(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def roll_outs(rounds: int, alone: int) -> list[Sample]:
    """One decode of all, against one at a time and step by step."""
    model, split = ocr()
    model.eval()
    trace, tried = cells(model, split)
    batched = roll_out(model, trace, tried, split.limits).hyps
    picked = torch.randperm(len(batched), generator=torch.Generator().manual_seed(1))[:alone]
    check(batched[picked], reference.one_at_a_time(model, trace, tried, split.limits, picked))
    check(batched, reference.step_by_step(model, trace, tried, split.limits))
    claim = f"{len(batched):,} roll-outs of an OCR batch"
    samples = []
    for _ in range(rounds):
        samples.append(Sample(claim, "raybayes", timed(lambda: roll_out(model, trace, tried, split.limits))))
        slow = timed(lambda: reference.one_at_a_time(model, trace, tried, split.limits, picked))
        samples.append(Sample(claim, "one at a time", slow * len(batched) / alone))
        loop = timed(lambda: reference.step_by_step(model, trace, tried, split.limits))
        samples.append(Sample(claim, "step by step", loop))
    return samples


def training_steps(rounds: int) -> list[Sample]:
    """A whole step of SeaRNN LL, against MLE."""
    samples, claim = [], "A training step on an OCR batch"
    sides = []
    for side, values in (("raybayes", {}), ("MLE", {"method": "mle"})):
        model, split = ocr()
        sides.append((side, Config(**values), model.train(), split, Optimiser("adam", model.parameters())))
    for moment in range(rounds + 2):
        for side, config, model, split, optimiser in sides:

            def step() -> None:
                now = Step(config, model, model, split, torch.arange(BATCH), None, Draws(0, moment), moment, 0.5, None,  # noqa: B023
                           Stopwatch())  # fmt: skip
                loss = METHODS[config.method](now).losses.mean()  # noqa: B023
                optimiser.clear()  # noqa: B023
                loss.backward()
                optimiser.step(1e-3, 5.0)  # noqa: B023

            seconds = timed(step)
            if moment >= 2:
                samples.append(Sample(claim, side, seconds))
    return samples


@dataclass(frozen=True)
class Size:
    """Of the roll-outs with attention: `rows` of each sentence, and `words` are the vocabulary."""

    name: str
    sentences: int
    rows: int
    words: int
    hidden: int
    source: int


SPELLING = Size("Spelling", 16, 428, 43, 128, 10)  # 10 cells, all 43 characters but the masked ones
SUBSAMPLED = Size("Translation", 16, 96, 500, 256, 20)  # 8 cells of 12 tokens
TRANSLATION = Size("Translation", 16, 96, 4000, 256, 20)
STEPS = 10


def attention(rounds: int, size: Size) -> list[Sample]:
    """Memory shared by a sentence's roll-outs, against memory copied for each."""
    g = torch.Generator().manual_seed(0)
    sentences, rows, words = size.sentences, size.rows, size.words
    model = GruSeq2Seq(words, GruEncoder(500, True, size.hidden, 1, True, 0.0), size.hidden, 1, "dot", 0.0)
    initialise(model, g)
    model.eval()
    length = torch.full((sentences,), size.source)
    source = Source(torch.randint(0, 500, (sentences, size.source), generator=g), length)
    fed = torch.randint(0, words - 1, (sentences, 1, 4), generator=g)
    with torch.no_grad():
        _, trace = model(source, fed)
    sentence = torch.arange(sentences).repeat_interleave(4)
    at = torch.arange(4).repeat(sentences)
    tokens = torch.randint(0, words - 1, (len(at), rows // 4), generator=g)
    tried = Tried(fed[:, 0], sentence, at, tokens, torch.ones_like(tokens, dtype=torch.bool))
    limits = Limits(Rules(words - 1), torch.full((sentences,), 20), torch.full((sentences,), 20))
    claim = f"{size.name}: {STEPS} steps of {sentences * rows:,} roll-outs with attention, {words:,} tokens"
    sides = (("raybayes", reference.with_shared_memory), ("copied memory", reference.with_copied_memory),
             ("copied keys and values", reference.with_copied_keys))  # fmt: skip
    found = [work(model, source, trace, tried, limits, STEPS) for _, work in sides]
    for other in found[1:]:
        check(found[0], other)
    return [
        Sample(claim, side, timed(lambda: work(model, source, trace, tried, limits, STEPS)))  # noqa: B023
        for _ in range(rounds)
        for side, work in sides
    ]


def ngrams(rounds: int, pairs: int) -> list[Sample]:
    """Sentence BLEU of many hypotheses, against sacrebleu one by one."""
    g = torch.Generator().manual_seed(0)
    eos, per_reference = 1000, 100
    refs = References.of([torch.randint(0, 60, (int(n),), generator=g).tolist()
                          for n in torch.randint(8, 25, (pairs // per_reference,), generator=g)], eos)  # fmt: skip
    which = torch.arange(len(refs)).repeat_interleave(per_reference)
    hyps = refs.tokens[which].clone()
    wrong = torch.rand(hyps.shape, generator=g) < 0.3
    hyps = torch.where(wrong & (hyps != eos), torch.randint(0, 60, hyps.shape, generator=g), hyps)
    texts = [[" ".join(map(str, row[row != eos].tolist())) for row in rows] for rows in (hyps, refs.tokens[which])]

    def fresh() -> References:  # its tables count, too
        return References(refs.tokens, refs.length, eos)

    claim = f"Sentence BLEU of {pairs:,} pairs"
    samples = []
    for _ in range(rounds):
        samples.append(Sample(claim, "raybayes", timed(lambda: COSTS["bleu"](hyps, fresh(), which))))
        samples.append(Sample(claim, "sacrebleu loop", timed(lambda: reference.sacrebleu_loop(*texts))))
    return samples


def check(one: Tensor, other: Tensor) -> None:
    """Both sides must have found the same sequences."""
    if not torch.equal(one, other):
        wrong = int((one != other).any(1).sum())
        raise SystemExit(f"{wrong} of {len(one)} sequences differ between the sides; the times would mean nothing.")


def main(argv: list[str]) -> int:
    """Measure, print the page, keep it. Returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.autoregressive_speed", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="few rounds, to see that it runs; keeps no results")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder of the results (%(default)s)")
    options = parser.parse_args(argv)
    before, load_before = torch.get_num_threads(), measurement.load()
    torch.set_num_threads(1)
    try:
        if options.quick:
            samples = roll_outs(1, 5) + training_steps(1) + attention(1, SUBSAMPLED) + ngrams(1, 200)
        else:
            samples = roll_outs(9, 300) + training_steps(15)
            for size in (SPELLING, SUBSAMPLED, TRANSLATION):
                samples += attention(9, size)
            samples += ngrams(7, 5000)
    finally:
        torch.set_num_threads(before)
    rows = measurement.summarise(samples)
    machine, title = measurement.this_machine(load_before), "What roll-outs and their costs cost"
    if options.quick:
        print(measurement.as_markdown(title, NOTES, rows, machine))
    else:
        print(measurement.write(options.out, "autoregressive_speed", title, NOTES, rows, machine))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
