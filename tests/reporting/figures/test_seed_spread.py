import matplotlib
import numpy as np
import pyarrow as pa
import pytest

from raybayes.reporting.figures.history import draw_history
from raybayes.reporting.figures.seed_spread import seed_deviation, seed_values
from raybayes.search.objective import Objective

LOSS = Objective("loss", "minimize", "nats")


def texts(figure):
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def repeated(values):
    """(trials, reports) of complete trials, one row of `values` each, one column a seed, in two steps."""
    rows = [
        {"trial": trial, "repeat": repeat, "step": step, "loss": value + (step == 1)}
        for trial, seeds in enumerate(values)
        for repeat, value in enumerate(seeds)
        for step in (2, 1)
    ]
    trials = pa.table(
        {
            "trial": range(len(values)),
            "state": ["COMPLETE"] * len(values),
            "loss": [float(np.mean(seeds)) for seeds in values],
            "loss.se": [float(np.std(seeds) / 2) for seeds in values],
        }
    )
    return trials, pa.Table.from_pylist(rows)


def test_the_values_of_single_seeds_are_their_last_ones():
    trials, reports = repeated([[1.0, 3.0], [5.0], [2.0, 2.0, 8.0]])
    runs = seed_values(trials, reports, LOSS)
    assert runs.tolist() == [[0, 1], [0, 3], [2, 2], [2, 2], [2, 8]]
    assert seed_deviation(runs) == pytest.approx(np.sqrt((2 + 24) / 3))  # squares 1 + 1 and 4 + 4 + 16, 5 - 2 values
    assert np.isnan(seed_deviation(runs[:0]))


def test_trials_without_a_result_count_for_no_noise():
    trials, reports = repeated([[1.0, 3.0], [5.0, 7.0]])
    trials = trials.set_column(1, "state", pa.array(["COMPLETE", "PRUNED"]))
    assert seed_values(trials, reports, LOSS)[:, 0].tolist() == [0, 0]


def test_history_shows_each_seed_and_says_how_far_they_differ():
    trials, reports = repeated([[1.0, 3.0], [2.0, 4.0], [6.0, 8.0]])
    figure = draw_history(trials, LOSS, reports)
    [axes] = figure.axes
    [dots] = [c for c in axes.collections if c.get_label() == "one seed"]
    assert np.asarray(dots.get_offsets()).tolist() == [[0, 1], [0, 3], [1, 2], [1, 4], [2, 6], [2, 8]]
    assert "loss of each trial; lower is better; seeds differ by ± 1.4" in texts(figure)
    assert "seeds differ" not in " ".join(texts(draw_history(trials, LOSS)))
