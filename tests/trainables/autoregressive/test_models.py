"""Decoders with attention against their formulas, one source place after the other."""

import pytest
import torch

from trainables.autoregressive.models import GruEncoder, GruSeq2Seq, PointerGru, Source, initialise

V, HIDDEN = 8, 6


def attended(model, memory, state):
    """The mixing layer over context and state, from weights of each place."""
    if model.attention == "dot":
        scores = [model.query(state) @ place for place in memory]
    else:
        scores = [model.energy(torch.tanh(model.keys(place) + model.query(state))) for place in memory]
    weights = torch.stack(scores).reshape(-1).softmax(0)
    context = sum(weight * place for weight, place in zip(weights, memory, strict=True))
    return model.mix(torch.cat([context, state]))


def embedded(model, token, memory):
    if not isinstance(model, PointerGru):
        return model.embedding.weight[token]
    return model.places(memory[token]) if token < len(memory) else model.ends.weight[token - (V - 1)]


def scored(model, mixed, memory):
    if not isinstance(model, PointerGru):
        return model.output(mixed)
    found = torch.full((V,), -1e9, dtype=mixed.dtype)
    found[: len(memory)] = torch.stack([model.match(mixed) @ place for place in memory])
    found[V - 1] = model.stop(mixed)[0]
    return found


@pytest.mark.parametrize(
    ("kind", "attention"),
    [(GruSeq2Seq, "dot"), (GruSeq2Seq, "additive"), (PointerGru, "dot"), (PointerGru, "additive")],
)
@torch.no_grad()
def test_attention_is_what_its_formulas_say(kind, attention):
    g = torch.Generator().manual_seed(0)
    model = kind(V, GruEncoder(9, True, 5, 1, True, 0.0), HIDDEN, 1, attention, 0.0)
    initialise(model, g)
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            parameter.copy_(torch.randn(parameter.shape, generator=g))
    model = model.double().eval()
    source = Source(torch.randint(0, 9, (2, 4), generator=g), torch.tensor([4, 3]))
    fed = torch.tensor([[[model.bos, 2, 0, 1]], [[model.bos, 1, 2, 0]]])
    found, _ = model(source, fed)
    memory, last = model.encoder(source)
    for b in range(2):
        state, places = torch.tanh(model.bridges[0](last[b])), memory[b, : int(source.length[b])]
        for t, token in enumerate(fed[b, 0].tolist()):
            _, after = model.layers[0](embedded(model, token, places).reshape(1, 1, -1), state.reshape(1, 1, -1))
            state = after.reshape(-1)
            torch.testing.assert_close(found[b, 0, t], scored(model, attended(model, places, state), places))
