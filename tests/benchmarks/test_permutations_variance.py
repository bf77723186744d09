"""Variances of gradient estimators: the known ones by enumeration, and the best scale of REBAR."""

import pytest
import torch

from benchmarks.permutations_variance.__main__ import as_markdown, best_rebar, constant_baseline, moments


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


def test_a_table_has_a_line_for_each_row():
    page = as_markdown([("a", "x", 1.0), ("a", "y", 2.0), ("b", "x", 3.0), ("b", "y", 4.0)], "what")
    assert page.splitlines()[2:] == ["| a | 1 | 2 |", "| b | 3 | 4 |"]
