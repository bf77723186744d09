"""The sides of the benchmark find the same sequences."""

import torch

from benchmarks.autoregressive_speed import __main__ as speed
from benchmarks.autoregressive_speed import reference
from trainables.autoregressive.rollouts.rollout import roll_out


def test_one_at_a_time_step_by_step_and_at_once():
    model, split = speed.ocr()
    model.eval()
    trace, tried = speed.cells(model, split)
    batched = roll_out(model, trace, tried, split.limits).hyps
    assert torch.equal(batched, reference.step_by_step(model, trace, tried, split.limits))
    picked = torch.arange(0, len(batched), len(batched) // 20)
    assert torch.equal(batched[picked], reference.one_at_a_time(model, trace, tried, split.limits, picked))
