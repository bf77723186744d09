"""The engine against one roll-out at a time, for every model and every rule."""

import itertools

import pytest
import torch

from raybayes.errors import DataError
from tests.trainables.autoregressive import slow
from trainables.autoregressive.costs.policies import build_policy
from trainables.autoregressive.costs.reference_costs import reference_costs
from trainables.autoregressive.costs.sequence_costs import COSTS
from trainables.autoregressive.draws import Draws
from trainables.autoregressive.models import (
    GruEncoder,
    GruSeq2Seq,
    PointerGru,
    Source,
    Transformer,
    initialise,
    set_generator,
)
from trainables.autoregressive.rollouts.cost_vectors import RollOutSettings, cost_vectors, from_reference
from trainables.autoregressive.rollouts.rollin import ground_truth, roll_in
from trainables.autoregressive.rollouts.rollout import roll_out
from trainables.autoregressive.rollouts.search import decode
from trainables.autoregressive.sequences.tried import Tried

V, LENGTHS = 8, (4, 2, 6, 3)
KINDS = ("none", "additive", "dot", "transformer", "pointer")


def model_of(kind, layers=1, seed=0, scale=1.0, dropout=0.0):
    vocabulary = 8 if kind == "pointer" else V
    if kind == "transformer":
        model = Transformer(vocabulary, 5, True, 16, 2, 4, 40, dropout)
    else:
        encoder = GruEncoder(5, True, 12, 1, True, dropout)
        if kind == "pointer":
            model = PointerGru(vocabulary, encoder, 12, layers, "dot", dropout)
        else:
            model = GruSeq2Seq(vocabulary, encoder, 12, layers, kind, dropout)
    initialise(model, torch.Generator().manual_seed(seed))
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale)
    set_generator(model, torch.Generator().manual_seed(1))
    return model.eval()


def batch_of(kind, seed=0):
    g = torch.Generator().manual_seed(seed)
    source = Source(torch.randint(0, 5, (4, 6), generator=g), torch.tensor(LENGTHS))
    if kind == "pointer":
        sequences = [torch.randperm(n, generator=g).tolist() for n in LENGTHS]
    else:
        sequences = [torch.randint(0, V - 1, (n,), generator=g).tolist() for n in LENGTHS]
    return source, slow.refs_of(sequences, V - 1)


def cells_of(rolled, model, once):
    """Every cell with every token that may come."""
    cells = [(b, t) for b in range(len(rolled.cells)) for t in range(int(rolled.cells[b]))]
    sentence, time = torch.tensor(cells).T
    tokens = torch.arange(model.vocabulary).expand(len(cells), -1)
    mask = torch.ones_like(tokens, dtype=torch.bool)
    if once:
        for n, (b, t) in enumerate(cells):
            length, before = LENGTHS[b], rolled.tokens[b, :t].tolist()
            mask[n] = torch.tensor([x < length and x not in before and t < length for x in range(model.vocabulary)])
            mask[n, model.eos] = t == length
    return Tried(rolled.tokens, sentence, time, tokens, mask)


def setting(kind, rule, mode="gt", layers=1, scale=2.0):
    model = model_of(kind, layers, scale=scale)
    source, refs = batch_of(kind)
    fixed = rule == "fixed" or kind == "pointer"
    limits = slow.limits_of(refs, cap=None if fixed else 9, fixed=fixed, once=kind == "pointer")
    rolled = roll_in(mode, model, source, refs, limits, 0.5, None, Draws(1), torch.arange(4))
    with torch.no_grad():
        scores, trace = model(source, rolled.fed(model.bos))
    return model, source, refs, limits, rolled, scores, trace


@pytest.mark.parametrize("mode", ["gt", "learned", "mixed"])
@pytest.mark.parametrize(
    ("kind", "rule", "layers"),
    [(k, r, 1) for k in KINDS for r in ("fixed", "free") if (k, r) != ("pointer", "free")]
    + [("none", "free", 2), ("dot", "fixed", 2)],
)
def test_the_engine_equals_one_roll_out_at_a_time(kind, rule, layers, mode):
    model, source, refs, limits, rolled, _, trace = setting(kind, rule, mode, layers)
    tried = cells_of(rolled, model, limits.rules.once)
    found = roll_out(model, trace, tried, limits)
    assert len(found.hyps) == int(tried.mask.sum())
    for row, (cell, column) in enumerate(zip(found.cell.tolist(), found.column.tolist(), strict=True)):
        b, t = int(tried.sentence[cell]), int(tried.time[cell])
        token, prefix = int(tried.tokens[cell, column]), rolled.tokens[b, :t].tolist()
        one = Source(source.values[b : b + 1, : LENGTHS[b]], source.length[b : b + 1])
        wanted = slow.roll_out_one(model, one, prefix, token, int(limits.cap[b]), limits, b)
        n = len(wanted)
        assert found.hyps[row, :n].tolist() == wanted
        assert (found.hyps[row, n:] == model.eos).all()
    cost = "kendall" if kind == "pointer" else "edit"
    costs = COSTS[cost](found.hyps, refs, tried.sentence[found.cell])
    assert len(set(costs.tolist())) > 2, "the roll-outs differ"


@pytest.mark.parametrize("kind", KINDS)
def test_results_do_not_depend_on_the_chunk(kind):
    model, _, _, limits, rolled, _, trace = setting(kind, "free")
    tried = cells_of(rolled, model, limits.rules.once)
    whole = roll_out(model, trace, tried, limits)
    for chunk in (1, 3, 17, 100):
        assert torch.equal(roll_out(model, trace, tried, limits, chunk=chunk).hyps, whole.hyps)


def test_long_free_roll_outs_are_compacted_without_a_change(monkeypatch):
    from trainables.autoregressive.rollouts import rollout

    for kind in ("none", "dot", "transformer"):
        model = model_of(kind, scale=3.0, seed=4)
        with torch.no_grad():
            (model.bias if kind == "transformer" else model.output.bias)[model.eos] += 3
        source, refs = batch_of(kind)
        limits = slow.limits_of(refs, cap=20)
        rolled = ground_truth(refs)
        with torch.no_grad():
            _, trace = model(source, rolled.fed(model.bos))
        tried = cells_of(rolled, model, False)
        monkeypatch.setattr(rollout, "COMPACT_EVERY", 1000)
        plain = roll_out(model, trace, tried, limits)
        monkeypatch.setattr(rollout, "COMPACT_EVERY", 2)
        compacted = roll_out(model, trace, tried, limits)
        assert torch.equal(plain.hyps, compacted.hyps)
        assert compacted.steps < plain.steps


@pytest.mark.parametrize("kind", KINDS)
def test_the_parallel_pass_equals_steps(kind):
    model, source, _, _, rolled, scores, _ = setting(kind, "fixed", "gt", layers=1 if kind == "transformer" else 2)
    shared, rows = model.begin(source)
    fed = rolled.fed(model.bos)[:, 0]
    for t in range(fed.shape[1]):
        step, rows = model.advance(shared, rows, fed[:, t : t + 1])
        inside = rolled.cells > t
        assert torch.allclose(step[inside, 0], scores[inside, 0, t], atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_several_sequences_of_a_sentence_at_once(kind):
    model, source, refs, *_ = setting(kind, "fixed")
    fed = ground_truth(refs).fed(model.bos)
    other = fed.roll(1, 2)
    with torch.no_grad():
        both, _ = model(source, torch.cat([fed, other], 1))
        one, _ = model(source, fed)
        two, _ = model(source, other)
    assert torch.allclose(both, torch.cat([one, two], 1), atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_padding_of_the_source_does_not_matter(kind):
    model, source, refs, *_ = setting(kind, "fixed")
    fed = ground_truth(refs).fed(model.bos)
    with torch.no_grad():
        together, _ = model(source, fed)
        for b, n in enumerate(LENGTHS):
            alone, _ = model(Source(source.values[b : b + 1, :n], source.length[b : b + 1]), fed[b : b + 1])
            assert torch.allclose(alone[0, 0, : n + 1], together[b, 0, : n + 1], atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_gradients_reach_every_parameter(kind):
    model, source, refs, *_ = setting(kind, "fixed", layers=2)
    model.train()
    scores, _ = model(source, ground_truth(refs).fed(model.bos))
    scores.clamp_min(-100).logsumexp(3).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0 or name in ("energy.weight", "places.bias"), name


def test_gradient_of_the_decoder_by_finite_differences():
    model = model_of("dot").double()
    source, refs = batch_of("dot")
    fed = ground_truth(refs).fed(model.bos)
    weight = model.layers[0].weight_hh_l0

    def loss():
        return model(source, fed)[0].sin().sum()

    loss().backward()
    for place in ((0, 0), (5, 3), (20, 7)):
        with torch.no_grad():
            kept = weight[place].clone()
            values = []
            for step in (1e-5, -1e-5):
                weight[place] = kept + step
                values.append(loss())
            weight[place] = kept
        assert float(weight.grad[place]) == pytest.approx(float(values[0] - values[1]) / 2e-5, rel=1e-5)


def test_focused_roll_outs_go_over_to_the_reference():
    model, source, refs, limits, rolled, _, trace = setting("none", "free")
    tried = cells_of(rolled, model, False)
    nobody = torch.zeros(4, dtype=torch.bool)
    for steps in (0, 2):
        settings = RollOutSettings("focused", "edit-optimal", "edit", steps=steps)
        found = cost_vectors(model, trace, tried, refs, limits, settings, nobody).costs
        if steps == 0:
            wanted = reference_costs("edit-optimal", "edit", tried, refs)
        else:
            wanted = torch.zeros_like(found)
            for n, k in itertools.product(range(len(tried.time)), range(V)):
                b, t = int(tried.sentence[n]), int(tried.time[n])
                one = Source(source.values[b : b + 1, : LENGTHS[b]], source.length[b : b + 1])
                prefix = rolled.tokens[b, :t].tolist()
                cap = min(t + 1 + steps, int(limits.cap[b]))
                hyp = slow.roll_out_one(model, one, prefix, k, cap, limits, b)
                row = torch.tensor([[*hyp, refs.eos]])
                if k != refs.eos and len(hyp) == cap:
                    row = build_policy("edit-optimal")(row, torch.tensor([len(hyp)]), refs, torch.tensor([b]))
                wanted[n, k] = COSTS["edit"](row, refs, torch.tensor([b])).item()
        assert torch.allclose(found, wanted)


def test_mixed_and_matched_roll_outs():
    model, _source, refs, limits, rolled, _, trace = setting("none", "fixed", "mixed")
    draws, sentence = Draws(5), torch.arange(4)
    assert rolled.from_reference.any()
    matched = from_reference(RollOutSettings("matched", "copy", "hamming", probability=0.0), rolled, draws, sentence)
    assert torch.equal(matched, rolled.from_reference)
    assert not from_reference(
        RollOutSettings("mixed", "copy", "hamming", probability=0.0), rolled, draws, sentence
    ).any()
    assert from_reference(RollOutSettings("reference", "copy", "hamming"), rolled, draws, sentence).all()
    tried = cells_of(rolled, model, False)
    whose = torch.tensor([True, False, True, False])
    mixed, learned, reference = (
        cost_vectors(model, trace, tried, refs, limits, RollOutSettings("mixed", "copy", "hamming"), by).costs
        for by in (whose, torch.zeros(4).bool(), torch.ones(4).bool())
    )
    by_reference = whose[tried.sentence].unsqueeze(1)
    assert torch.equal(mixed, torch.where(by_reference, reference, learned))
    assert not torch.equal(learned, reference)


def test_a_greedy_token_of_a_learned_roll_in_costs_what_the_roll_in_costs():
    model, _source, refs, limits, rolled, scores, trace = setting("dot", "free", "learned")
    tried = cells_of(rolled, model, False)
    settings = RollOutSettings("learned", "edit-optimal", "edit")
    costs = cost_vectors(model, trace, tried, refs, limits, settings, torch.zeros(4).bool()).costs
    width = int(limits.cap.max())
    own = torch.nn.functional.pad(rolled.tokens, (0, max(0, width - rolled.tokens.shape[1])), value=refs.eos)
    whole = COSTS["edit"](own, refs, torch.arange(4))
    greedy = scores[tried.sentence, 0, tried.time].argmax(1)
    assert torch.equal(costs.gather(1, greedy.unsqueeze(1)).squeeze(1), whole[tried.sentence])


def test_a_cell_beyond_the_cap_is_refused():
    model, _source, _refs, limits, rolled, _, trace = setting("none", "free")
    tried = Tried(rolled.tokens, torch.tensor([0]), torch.tensor([9]), torch.tensor([[1]]), torch.tensor([[True]]))
    with pytest.raises(DataError, match="cell 9 of sentence 0 lies beyond its cap of 9 places"):
        roll_out(model, trace, tried, limits)


@pytest.mark.parametrize("kind", ["none", "dot", "transformer", "pointer"])
def test_a_wide_beam_finds_the_best_of_all_sequences(kind):
    model = model_of(kind, scale=2.0)
    source, refs = batch_of(kind)
    source, refs = source.pick(torch.tensor([1])), refs.pick(torch.tensor([1]))
    limits = slow.limits_of(refs, cap=2, fixed=kind == "pointer", once=kind == "pointer")
    best, score = None, -torch.inf
    candidates = [(0, 1), (1, 0)] if kind == "pointer" else [(V - 1, V - 1), *itertools.product(range(V - 1), range(V))]
    for hyp in candidates:
        shared, rows = model.begin(source)
        total, last = 0.0, model.bos
        used = []
        for token in hyp:
            with torch.no_grad():
                scores, rows = model.advance(shared, rows, torch.tensor([[last]]))
            scores = scores[0, 0].double()
            if kind == "pointer":
                scores[[*used, *range(2, model.vocabulary)]] = -torch.inf
            total, last = total + float(scores.log_softmax(0)[token]), token
            used.append(token)
            if token == model.eos:
                break
        if total > score:
            best, score = hyp, total
    found = decode(model, source, limits, beam=64)
    assert found[0].tolist()[: len(best)] == list(best)
    one = decode(model, source, limits, beam=1)
    assert one.shape[0] == 1


def test_beam_below_one_is_refused():
    model = model_of("none")
    source, refs = batch_of("none")
    with pytest.raises(DataError, match=r"beam = 0 must be 1 \(greedy\) or more"):
        decode(model, source, slow.limits_of(refs, cap=5), beam=0)


def test_draws_depend_on_their_name_and_index_alone():
    index = torch.arange(20000)
    one = Draws(1, 5).uniform("a", index)
    assert torch.equal(one[500:700], Draws(1, 5).uniform("a", index[500:700]))
    for other in (Draws(2, 5).uniform("a", index), Draws(1, 6).uniform("a", index), Draws(1, 5).uniform("b", index)):
        assert abs(float(torch.corrcoef(torch.stack([one, other]))[0, 1])) < 0.03
    assert 0 < float(one.min()) < float(one.max()) < 1
    assert float(one.mean()) == pytest.approx(0.5, abs=0.01)
    assert float(one.var()) == pytest.approx(1 / 12, abs=0.003)
    normal = Draws(1).normal("n", index)
    assert float(normal.std()) == pytest.approx(1, abs=0.03)


def test_roll_outs_with_attention_copy_no_table_of_the_vocabulary():
    """The input table of V rows is one tensor, however many sentences there are."""
    model, _source, _refs, _limits, _rolled, _, trace = setting("dot", "free")
    cell = torch.zeros(4, 3, dtype=torch.int64)
    shared, _ = model.branch(trace, torch.arange(4), torch.tensor([0]), torch.tensor([0]), cell)
    assert trace.shared[0].shape[0] == 1
    assert shared[0].data_ptr() == trace.shared[0].data_ptr()
    assert shared[1].shape[0] == 4
