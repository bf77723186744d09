"""The benchmark of the ensembles compares like with like."""

import pytest

from benchmarks.ensembles_engine import __main__ as program
from benchmarks.ensembles_engine.epochs import ENGINES, one_epoch
from benchmarks.ensembles_engine.protocol import scored


def test_both_protocols_give_the_same_scores():
    sides = [scored(side, k=8, n=60, classes=4, step=3) for side in ("raybayes", program.REFERENCE)]
    assert len(sides[0][1]) == len(sides[1][1]) == 3  # sizes 2, 5 and 8
    assert sides[0][1] == pytest.approx(sides[1][1], abs=1e-5)
    assert all(seconds > 0 for seconds, _ in sides)


def test_every_side_trains_by_its_own_engine():
    for side, engine in ENGINES.items():
        seconds, chosen = one_epoch(side, "mlp", 2, 16, 96)
        assert seconds > 0
        assert chosen == engine or side == "raybayes"
