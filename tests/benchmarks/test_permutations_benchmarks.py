"""The permutation benchmarks measure what they say, and print commands that can be typed."""

import pytest
import torch

from benchmarks.permutations_speed.reference import Step
from benchmarks.permutations_tasks.__main__ import PARTS, command
from benchmarks.permutations_variance.__main__ import as_markdown, best_rebar, constant_baseline, moments
from raybayes import catalog


def test_enumerated_variances_are_the_known_ones():
    theta = torch.zeros(8)
    assert constant_baseline(theta, 0.0)[0] == pytest.approx(260.586, abs=5e-4)
    variance, constant = constant_baseline(theta, None)
    assert (variance, constant) == pytest.approx((0.06758, 7.022857), abs=1e-5)
    assert float(moments(theta)[1].norm()) == pytest.approx(0.0375, abs=1e-4)


def test_the_best_scale_of_rebar_is_found():
    variance, tau, eta = best_rebar(torch.zeros(8), 2000, None)
    assert (tau, eta) == (0.5, pytest.approx(3.0, rel=0.1))
    assert variance == pytest.approx(19.7, rel=0.15)


@pytest.mark.parametrize("estimator", ["reinforce", "rebar", "relax"])
def test_the_published_algorithm_learns_the_toy(estimator):
    step = Step(estimator)
    for _ in range(3):
        step()
    assert torch.isfinite(step.theta).all()
    assert step.theta.abs().max() > 0


@pytest.mark.parametrize("part", PARTS)
def test_every_run_can_be_configured_and_typed(part):
    project = catalog.load_project("permutations")
    for settings in PARTS[part]():
        config = catalog.configure(project, settings)
        assert config.updates > 0
        typed = dict(word.split("=") for word in command(settings).split() if "=" in word)
        assert catalog.configure(project, {key: _value(text) for key, text in typed.items()}) == config


def _value(text):
    if text in ("true", "false"):
        return text == "true"
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        return text


def test_a_table_has_a_line_for_each_row():
    page = as_markdown([("a", "x", 1.0), ("a", "y", 2.0), ("b", "x", 3.0), ("b", "y", 4.0)], "what")
    assert page.splitlines()[2:] == ["| a | 1 | 2 |", "| b | 3 | 4 |"]
