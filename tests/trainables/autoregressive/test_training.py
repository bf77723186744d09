"""Identities between methods, workers, dropout and resume; every task and method end to end."""

import copy
import logging
import math
import threading
import zlib
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import raybayes as rb
from raybayes import catalog, data
from raybayes.cli.main import main
from raybayes.contract import Action, Stop
from raybayes.errors import DataError, SpecError
from trainables.autoregressive import PROJECT
from trainables.autoregressive.batches import Order
from trainables.autoregressive.config import COSTS_OF, FITTING
from trainables.autoregressive.draws import Draws
from trainables.autoregressive.methods import METHODS, Step
from trainables.autoregressive.methods.sequences import sequence_log_p
from trainables.autoregressive.optimiser import Optimiser
from trainables.autoregressive.rollouts.rollin import ground_truth
from trainables.autoregressive.schedules import lr_factor, rollin_probability
from trainables.autoregressive.stopwatch import Stopwatch
from trainables.autoregressive.tasks.loaders import build_model, load_task
from trainables.autoregressive.training import averaged

HERE = {"executor": "local", "checkpoint_every": 0.0}
TINY = {"iterations": 3, "reports": 1, "batch": 6, "model.hidden": 8, "eval_rows": 6, "train_rows": 60}
DOT = {"model.attention": "dot"}
POINTER = {"task": "ordering", "model.kind": "pointer", "model.attention": "dot", "ordering.longest": 12}


class Alone:
    """One worker without a sweep."""

    rank, world_size, device, seed = 0, 1, torch.device("cpu"), 7
    log = logging.getLogger("raybayes.test")

    def rng(self, name):
        return torch.Generator().manual_seed(zlib.crc32(name.encode()))

    def data(self, name):
        return data.load(name)

    def wrap(self, model):
        return model

    def all_reduce(self, tensor):
        return tensor


def one_step(values, data_of=None, iteration=0):
    """(loss, gradient by parameter) of one step."""
    ctx, config = Alone(), catalog.configure(PROJECT, {"batch": 8, "model.hidden": 12, **values})
    found = data_of or load_task(config, ctx)
    model = build_model(config, found, ctx.rng("weights"), ctx.rng("noise")).train()
    index, sentence = Order(found.train, config.batch, config.pool, ctx).batch(iteration)
    step = Step(
        config,
        model,
        model,
        found.train.pick(index),
        sentence,
        found.tags,
        Draws(ctx.seed, iteration),
        iteration,
        config.rollin_probability,
        None,
        Stopwatch(),
    )
    loss = averaged(METHODS[config.method](step), config, ctx)
    loss.backward()
    return float(loss.detach()), {name: p.grad for name, p in model.named_parameters()}


def same(one, other, tolerance=0.0):
    assert one[0] == pytest.approx(other[0], rel=max(tolerance, 1e-12), abs=0)
    for name, gradient in one[1].items():
        assert torch.allclose(gradient, other[1][name], rtol=tolerance, atol=tolerance), name


@pytest.mark.parametrize(
    "task", [{}, {"task": "spelling"}, {"task": "spelling", "averaging": "cells"}, {"task": "spelling", **DOT}]
)
@pytest.mark.parametrize("loss", ["ll", "ll-all"])
def test_ground_truth_everywhere_with_ll_is_mle(task, loss):
    """All tokens, roll-in and roll-out by the ground truth: costs are least at y_t, so the target is y_t."""
    searnn = one_step({**task, "rollin": "gt", "rollout": "reference", "loss": loss, "reference": None})
    same(searnn, one_step({**task, "method": "mle"}), 1e-6)


def test_kl_with_copied_roll_outs_is_label_smoothing():
    """Under the Hamming cost every wrong letter costs 1/(L + 1): q has e^(-T/(L+1)) on each, and 1 on y_t.

    EOS before the end costs more, so this holds to the probability that EOS has in either target.
    """
    ctx, scale = Alone(), 20.0
    config = catalog.configure(PROJECT, {"batch": 8, "model.hidden": 12})
    whole = load_task(config, ctx)
    length = 5
    rows = (whole.train.refs.length == length).nonzero().squeeze(1)[:8]
    train = whole.train.pick(rows)
    found = type(whole)(train, whole.val, whole.test, whole.symbols, whole.inputs, whole.tokens, whole.rules, "")
    kl = {"rollin": "gt", "rollout": "reference", "loss": "kl", "temperature": scale}
    searnn = one_step(kl, found)
    wrong = math.exp(-scale / (length + 1))
    share = wrong / (1 + 26 * wrong)  # of each of the 26 wrong ones
    smoothed = one_step({"method": "mle", "label_smoothing": 27 * share}, found)
    assert searnn[0] == pytest.approx(smoothed[0], rel=0.02)
    for name, gradient in searnn[1].items():
        other = smoothed[1][name]
        if float(other.norm()) > 1e-6:
            cosine = float((gradient * other).sum() / gradient.norm() / other.norm())
            assert cosine > 0.97, name


def test_optimal_completion_is_sharp_kl_with_the_optimal_reference():
    base = {"task": "spelling", **DOT}
    ocd = one_step({**base, "method": "ocd"})
    kl = {"rollin": "sampled", "rollout": "reference", "loss": "kl", "temperature": 1e6, "reference": "edit-optimal"}
    same(ocd, one_step({**base, **kl}), 1e-6)


def test_minimum_risk_with_a_sharp_exponent_only_sees_the_likeliest():
    loss, _ = one_step({"task": "spelling", "method": "minimum_risk", "sharpness": 10.0, "samples": 2})
    flat, _ = one_step({"task": "spelling", "method": "minimum_risk", "sharpness": 1e-6, "samples": 2})
    assert loss >= 0
    assert flat > 0


def test_self_critical_is_reinforce_with_another_baseline():
    """Gradients differ by (b' - b) grad log p; the losses do so too."""
    one = one_step({"method": "self_critical", "samples": 3})
    other = one_step({"method": "reinforce", "samples": 3})
    assert one[0] != other[0]


def test_log_p_of_sampled_sequences_is_a_distribution():
    """The probabilities of all sequences of two free places add up to 1."""
    for values in (
        {"model.hidden": 8},
        {**POINTER, "model.hidden": 8},
        {"task": "spelling", "model.hidden": 8},
    ):
        ctx, config = Alone(), catalog.configure(PROJECT, values)
        found = load_task(config, ctx)
        model = build_model(config, found, ctx.rng("w"), ctx.rng("n")).eval()
        if config.task == "spelling":
            one = found.train.pick(torch.tensor([0]))
            limits = type(one.limits)(one.limits.rules, one.limits.length, torch.tensor([2]))
        else:
            lengths = found.train.refs.length
            one = found.train.pick((lengths == lengths.min()).nonzero()[0])
            limits = one.limits
        n, v = int(limits.free), model.vocabulary
        tokens = torch.cartesian_prod(*[torch.arange(v)] * n)
        if config.task == "spelling":
            keep = (tokens[:, 0] != model.eos) | (tokens[:, 1] == model.eos)  # one way to write the empty one
        elif config.task == "ordering":
            keep = (tokens < n).all(1) & (tokens.sort(1).values[:, 1:] != tokens.sort(1).values[:, :-1]).all(1)
        else:
            keep = (tokens != model.eos).all(1)
        tokens = tokens[keep].unsqueeze(0)
        fed = torch.nn.functional.pad(tokens[:, :, :-1], (1, 0), value=model.bos)
        with torch.no_grad():
            total = torch.zeros((), dtype=torch.float64)
            for part, inputs in zip(tokens.split(4000, 1), fed.split(4000, 1), strict=True):
                scores, _ = model(one.source, inputs)
                total += sequence_log_p(scores, part, limits).sum(2).double().exp().sum()
        assert float(total) == pytest.approx(1, abs=1e-4)


def test_our_adam_is_torchs():
    g = torch.Generator().manual_seed(0)
    ours = [torch.randn(3, 4, generator=g).requires_grad_(), torch.randn(5, generator=g).requires_grad_()]
    theirs = [p.detach().clone().requires_grad_() for p in ours]
    reference, optimiser = torch.optim.Adam(theirs, lr=1.0), Optimiser("adam", ours)
    for step in range(6):
        for parameters in (ours, theirs):
            (sum((p**2).sin().sum() for p in parameters) * (10 if step < 3 else 0.1)).backward()
        norm = torch.nn.utils.clip_grad_norm_(theirs, 5.0)
        for group in reference.param_groups:
            group["lr"] = 0.01 * (step + 1)
        assert optimiser.step(0.01 * (step + 1), 5.0) == pytest.approx(float(norm))
        reference.step()
        reference.zero_grad()
        optimiser.clear()
        for mine, other in zip(ours, theirs, strict=True):
            assert torch.allclose(mine, other, atol=1e-6)


class Rank(Alone):
    """One of two workers in threads of this process; gradients are averaged as DDP does it."""

    world_size = 2

    def __init__(self, rank, shared):
        self.rank, self.shared = rank, shared

    def gather(self, value):
        self.shared["slots"][self.rank] = value
        self.shared["barrier"].wait(60)
        values = list(self.shared["slots"])
        self.shared["barrier"].wait(60)
        return values

    def all_reduce(self, tensor):
        return torch.stack(self.gather(tensor.clone())).mean(0)


@pytest.mark.parametrize(
    "values",
    [
        {"rollin": "mixed", "loss": "kl"},
        {"task": "spelling", "averaging": "cells", **DOT, "tokens.mode": "union", "tokens.top": 4, "cells": 5},
        {"task": "spelling", "method": "reinforce"},
        {"method": "mle", "label_smoothing": 0.1},
    ],
)
def test_two_workers_take_the_step_of_one(values):
    """Same global batch, same draws: the mean of their gradients is the gradient of one worker."""
    values = {"batch": 8, "model.hidden": 12, "lr": 1e-3, **values}
    config = catalog.configure(PROJECT, values)

    def gradients(ctx):
        found = load_task(config, ctx)
        model = build_model(config, found, ctx.rng("weights"), ctx.rng("noise")).train()
        index, sentence = Order(found.train, config.batch, config.pool, ctx).batch(3)
        batch = found.train.pick(index)
        step = Step(config, model, model, batch, sentence, None, Draws(7, 3), 3, 0.5, 0.3, Stopwatch())
        loss = averaged(METHODS[config.method](step), config, ctx)
        loss.backward()
        return {name: ctx.all_reduce(p.grad) for name, p in model.named_parameters()}

    alone = gradients(Alone())
    shared = {"slots": [None, None], "barrier": threading.Barrier(2)}
    with ThreadPoolExecutor(2) as pool:
        both = [done.result(60) for done in [pool.submit(gradients, Rank(rank, shared)) for rank in range(2)]]
    for name, gradient in alone.items():
        assert torch.allclose(both[0][name], gradient, atol=1e-6, rtol=1e-4), name
        assert torch.equal(both[0][name], both[1][name])


@pytest.mark.parametrize(
    "values",
    [
        {"rollout": "learned", "loss": "llcas", "cost": "hamming_count", "temperature": 5.0},
        {"rollin": "mixed", "rollout": "matched", "loss": "rank-logistic", "model.layers": 2},
        {"rollin": "sampled", "rollout": "focused", "focus_growth": 0.5, "loss": "js", "transform": "ranks"},
        {"task": "spelling", "rollin": "mixed-cells", "loss": "hinge", "model.attention": "additive"},
        {"task": "spelling", "cost": "gleu", "tokens.mode": "targeted", "loss": "risk", **DOT},
        {"task": "spelling", "spelling.errors": "noise", "tokens.mode": "biased", "loss": "l2", **DOT},
        {"task": "spelling", "tokens.mode": "policy", "loss": "inv-kl", "rollin_schedule": "sigmoid"},
        {"task": "spelling", "tokens.mode": "uniform", "loss": "rank-margin", "transform": "best-vs-rest"},
        {"task": "translation", "tokens.mode": "union", "cells": 3, "rollin": "gt", "loss": "kl", **DOT},
        {"task": "translation", "translation.direction": "de-en", "model.kind": "transformer", "cells": 2,
         "tokens.mode": "topk", "tokens.k": 3, "rollin": "gt", "cost": "bleu1", "beam": 2, "length_penalty": 1.0},
        {"task": "translation", "method": "mle", "model.kind": "transformer", "lr_warmup": 5, "lr_decay": "cosine"},
        {**POINTER, "loss": "listmle", "tokens.mode": "uniform", "tokens.k": 1},
        {**POINTER, "method": "self_critical"},
        {**POINTER, "method": "mle", "beam": 3},
        {"ocr.split": "words", "method": "mixer", "mixer_every": 1, "lr_decay": "plateau", "patience": 0},
        {"method": "scheduled_sampling", "rollin_schedule": "linear", "optimiser": "sgd"},
        {"task": "spelling", "method": "minimum_risk"},
        {"task": "spelling", "method": "ocd"},
        {"method": "reinforce", "warm_start": 1},
        {"cpu_seconds": 0.2, "tokens.mode": "neighbours", "test_every_report": True, "reports": 2},
    ],
    ids=lambda values: "-".join(str(value) for value in values.values()),
)  # fmt: skip
def test_every_task_method_and_choice_runs(values, tmp_path):
    run = rb.train("autoregressive", {**TINY, **values}, storage=str(tmp_path), name="run", **HERE)
    assert run.trials["state"].to_pylist() == ["COMPLETE"]
    last = run.reports.to_pylist()[-1]
    assert all(math.isfinite(last[name]) for name in ("val_error", "loss", "test_error"))
    assert 0 <= last["val_sequence_error"] <= 100
    assert {"progress", "predictions", "costs", "setup"} <= set(run.tables)
    assert len(run.table("predictions")) == 6
    costs = run.table("costs").to_pylist()
    assert max(row["cost"] for row in costs) > 0
    assert {row["sentence"] for row in costs} == {0, 1, 2}


class Sweep(Alone):
    """One worker whose reports are kept; it stops the run at a report, and starts it from a state."""

    def __init__(self, stop_at=None, state=None):
        self._stop_at, self._state, self.reports = stop_at, state, []

    def resume(self):
        return self._state

    def save_table(self, name, table):
        pass

    def report(self, metrics, state):
        self.reports.append(metrics)
        if len(self.reports) == self._stop_at:
            self._state = copy.deepcopy(state())
            raise Stop(Action.PAUSE)


def test_resume_with_dropout_and_a_moving_baseline_is_bit_for_bit():
    values = {**TINY, "iterations": 6, "reports": 3, "model.dropout": 0.3, "model.layers": 2, "method": "reinforce"}
    config, whole, cut = catalog.configure(PROJECT, values), Sweep(), Sweep(stop_at=2)
    PROJECT.train(config, whole)
    with pytest.raises(Stop):
        PROJECT.train(config, cut)
    resumed = Sweep(state=cut.resume())
    PROJECT.train(config, resumed)
    assert [*cut.reports, *resumed.reports] == whole.reports


def test_roll_outs_of_a_transformer_stay_within_its_places():
    """Rows that have used up their places go on filling the grid while others of their step are rolled out."""
    values = {**TINY, "iterations": 4, "batch": 4, "task": "spelling", "rollout": "learned", "cells": 3}
    values |= {"model.kind": "transformer", "model.heads": 2, "model.hidden": 16}
    values |= {"tokens.mode": "union", "tokens.k": 2, "tokens.top": 2}
    run = Sweep()
    PROJECT.train(catalog.configure(PROJECT, values), run)
    assert math.isfinite(run.reports[-1]["loss"])


def test_dropout_leaves_roll_outs_alone():
    """Roll-outs start from states without dropout: two seeds of the noise give the same costs, not the same scores."""
    ctx = Alone()
    config = catalog.configure(PROJECT, {"batch": 8, "model.hidden": 12, "model.dropout": 0.5, "rollin": "gt"})
    found = load_task(config, ctx)
    traces, scores = [], []
    for seed in (1, 2):
        model = build_model(config, found, ctx.rng("weights"), torch.Generator().manual_seed(seed)).train()
        batch = found.train.pick(torch.arange(8))
        step = Step(config, model, model, batch, torch.arange(8), None, Draws(0), 0, 0.5, None, Stopwatch())
        rolled = ground_truth(batch.refs)
        at_cells, trace = step.forward(rolled)
        scores.append(at_cells)
        traces.append(step.without_dropout(rolled, trace))
        assert model.training
    assert not torch.equal(scores[0], scores[1])
    assert torch.equal(traces[0].states[0], traces[1].states[0])


def test_batches_of_a_pool_are_of_like_length_and_no_sentence_comes_twice():
    found = load_task(catalog.configure(PROJECT, {}), Alone())

    def spread(pool):
        order = Order(found.train, 20, pool, Alone())
        batches = [order.batch(i)[0] for i in range(len(found.train) // 20)]
        assert len(torch.cat(batches).unique()) == 20 * len(batches)
        lengths = [found.train.refs.length[batch] for batch in batches]
        return sum(float(length.max() - length.min()) for length in lengths) / len(batches)

    assert spread(1000) < 1.5
    assert spread(1) > 6


def test_schedules():
    def at(name, iteration):
        config = catalog.configure(PROJECT, {"rollin_schedule": name, "iterations": 101, "rollin_probability": 0.3})
        return rollin_probability(config, iteration)

    assert at("none", 50) == 0.3
    assert [at("linear", i) for i in (0, 50, 100)] == pytest.approx([1, 0.5, 0])
    assert [at("sigmoid", i) for i in (0, 50, 100)] == pytest.approx([0.997527, 0.5, 0.002473], abs=1e-6)
    assert [at("exponential", i) for i in (0, 100_000, 200_000)] == pytest.approx([1, 0.9, 0.9])
    config = catalog.configure(PROJECT, {"lr_warmup": 10, "lr_decay": "cosine", "iterations": 100})
    assert lr_factor(config, 0) == pytest.approx(0.1)
    assert lr_factor(config, 50) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"beam": 0}, "beam"),
        ({"cost": "bleu"}, "cost = bleu does not fit task = ocr; allowed: hamming, hamming_count"),
        ({"reference": "edit-optimal"}, "does not fit cost = hamming; allowed: copy"),
        ({"task": "spelling", "reference": "max-f1"}, "allowed: edit-optimal, best-suffix-bleu"),
        ({"task": "translation", "reference": "align-order"}, "allowed: best-suffix-bleu"),
        ({"task": "ordering"}, "needs model.kind = pointer"),
        ({"model.kind": "pointer"}, "is for task = ordering only"),
        ({**POINTER, "model.attention": "none"}, "needs attention"),
        ({"model.kind": "transformer", **DOT}, "applies to GRUs"),
        ({"model.kind": "transformer", "model.hidden": 30}, "is not a multiple of model.heads = 4"),
        ({"dataset": "multi30k"}, "allowed: letters-sample or letters or the path of a Parquet file"),
        ({"task": "chunking"}, "has no sample; set dataset to a Parquet file"),
        ({"label_smoothing": 0.1}, "label_smoothing applies to method = mle; found searnn"),
        ({"warm_start": 2000}, "leaves no iterations to the method"),
        ({**POINTER, "method": "ocd"}, "distils the edit or Hamming distance"),
        ({**POINTER, "loss": "ll-all"}, "already used in the order; use ll"),
        ({"tokens.mode": "biased", "tokens.k": 1}, "needs tokens.k >= 2; found 1"),
        ({"cpu_seconds": 5.0, "lr_decay": "cosine"}, "use plateau or none"),
        ({"temperature": 0.0}, "temperature"),
    ],
)
def test_impossible_configurations(values, message):
    with pytest.raises(SpecError, match=message):
        catalog.configure(PROJECT, values)


def test_every_cost_of_a_task_has_a_policy():
    for costs in COSTS_OF.values():
        for cost in costs:
            assert FITTING[cost]


TAGGED = {"split": ["train", "val", "test"], "tokens": [["a"]] * 3}


def parquet(tmp_path, columns):
    path = tmp_path / "mine.parquet"
    pq.write_table(pa.table(columns), path)
    return str(path)


def test_chunking_from_a_file_of_the_users(tmp_path):
    words = [["he", "sees", "the", "cat"], ["the", "cat", "sees"], ["cat"]] * 4
    tags = [["B-NP", "B-VP", "B-NP", "I-NP"], ["B-NP", "I-NP", "B-VP"], ["O"]] * 4
    columns = {"split": ["train"] * 6 + ["val"] * 3 + ["test"] * 3, "tokens": words, "tags": tags}
    values = {**TINY, "task": "chunking", "dataset": parquet(tmp_path, columns), "cost": "chunk_f1", "rollin": "mixed"}
    run = rb.train("autoregressive", values, storage=str(tmp_path), name="good", **HERE)
    assert 0 <= run.reports.to_pylist()[-1]["val_f1"] <= 100


@pytest.mark.parametrize(
    ("values", "columns", "message"),
    [
        ({}, {"fold": [0], "word": ["ab"]}, "column 'letters' is missing; found fold, word"),
        ({"task": "spelling"}, {"misspelt": ["a"], "correct": ["b"]}, "column 'source' is missing"),
        ({"task": "translation"}, {"index": [0], "en": ["a b"]}, "column 'de' is missing"),
        ({"task": "translation"}, {"index": [0], "en": ["a b"], "de": ["c d"]}, "split 'train' is missing"),
        (
            {"task": "chunking"},
            {"split": ["train"], "tokens": [["a"]]},
            "there is no split 'val'|column 'tags' is missing",
        ),
        (
            {},
            {"fold": [0, 1], "word": ["a", "b"], "letters": [[1], [2]], "images": [b"x" * 16, b"x"]},
            "1 bytes of pict",
        ),
        (
            {},
            {"fold": [0, 1], "word": ["a", ""], "letters": [[1], []], "images": [b"x" * 16, b""]},
            "sequence 1 is empty",
        ),
        ({}, {"fold": [0], "word": ["a"], "letters": [[77]], "images": [b"x" * 16]}, "outside the vocabulary"),
        (
            {"ocr.split": "words"},
            {"fold": [0], "word": ["a"], "letters": [[7]], "images": [b"x" * 16]},
            "for training; lower it",
        ),
        (
            {"task": "translation"},
            {"split": ["train", "val", "test_2016_flickr"], "index": [0, 1, 2], "en": ["", "a", "b"], "de": ["a"] * 3},
            "source sequence 0 is empty",
        ),
    ],
)
def test_files_that_do_not_fit(values, columns, message, tmp_path):
    config = catalog.configure(PROJECT, {**TINY, **values, "dataset": parquet(tmp_path, columns)})
    with pytest.raises(DataError, match=message):
        load_task(config, Alone())


@pytest.mark.parametrize("command", [["train"], ["sweep", "--trials", "2"]])
@pytest.mark.parametrize(
    ("settings", "columns", "message"),
    [
        ([], {"fold": [0], "word": ["ab"]}, "column 'letters' is missing; found fold, word; wanted"),
        (
            [],
            {"fold": [0], "word": ["a"], "letters": [[77]], "images": [b"x" * 16]},
            "target sequence 0 has the token 77, which is outside the vocabulary; allowed: 0 .. 25",
        ),
        (
            [],
            {"fold": [0, 1], "word": ["a", ""], "letters": [[1], []], "images": [b"x" * 16, b""]},
            "target sequence 1 is empty; drop it",
        ),
        (["task=spelling"], {"misspelt": ["a"], "correct": ["b"]}, "column 'source' is missing"),
        (
            ["task=chunking"],
            {**TAGGED, "tags": [["O"], ["B-NP"], ["O"]]},
            "split 'val' has the tag 'B-NP', which split 'train' lacks",
        ),
    ],
)
def test_files_are_refused_before_anything_starts(command, settings, columns, message, tmp_path, capsys):
    path = parquet(tmp_path, columns)
    chosen = [part for setting in [f"dataset={path}", *settings] for part in ("-s", setting)]
    where = ["--storage", str(tmp_path / "runs"), "--name", "r"]
    assert main([command[0], "autoregressive", *command[1:], "--local", *chosen, *where]) == 2
    *_, said = capsys.readouterr().err.strip().splitlines()
    assert f"mine.parquet: {message}" in said
    assert not (tmp_path / "runs").exists()


def test_equal_words_keep_their_order_in_a_shuffle():
    from trainables.autoregressive.tasks.ordering import shuffle

    words = ["a", "man", "in", "a", "hat"]
    source, order = shuffle(words, [3, 4, 0, 2, 1])
    assert [source[place] for place in order] == words
    assert order.index(source.index("a")) == 0


def test_the_word_split_shares_no_word():
    config = catalog.configure(PROJECT, {"ocr.split": "words"})
    found = load_task(config, Alone())
    parts = [{"".join(text) for text in part.texts} for part in (found.train, found.val, found.test)]
    assert not parts[0] & parts[1]
    assert not parts[0] & parts[2]
    assert not parts[1] & parts[2]
    assert len(parts[2]) == 11
    folds = load_task(catalog.configure(PROJECT, {}), Alone())
    assert "of the test fold also occur in training (55 distinct words in all)" in folds.notes[0]


@pytest.mark.parametrize("space", ["SPACE", "BASELINES", "FINE_TUNE", "PAPER_OCR", "OCR_FOLDS"])
def test_corners_of_the_spaces_are_possible(space):
    """Each alternative of each choice, the others at their first one that is possible with it."""
    table = catalog.load_space(PROJECT, space)
    for name in table:
        for value in table[name].grid() or (table[name].low, table[name].high):
            point = {key: wanted[0] if isinstance(wanted, tuple) else wanted
                     for key, wanted in (table[name].when or {}).items()}  # fmt: skip
            catalog.configure(PROJECT, {**point, name: value})
