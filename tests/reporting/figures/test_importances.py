import matplotlib
import numpy as np

from raybayes.reporting.figures.importances import draw_importances
from raybayes.search.objective import Objective

LOSS = Objective("loss", "minimize", "nats")


def texts(figure):
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def test_importances_have_bars_and_intervals():
    figure = draw_importances({"lr": 0.7, "wd": 0.3}, LOSS, {"lr": (0.5, 0.9), "wd": (0.1, 0.4)})
    [axes] = figure.axes
    assert [bar.get_width() for bar in axes.patches] == [0.3, 0.7]
    [spans] = [c for c in axes.collections if len(c.get_segments()) == 2]
    np.testing.assert_allclose([np.array(s)[:, 0] for s in spans.get_segments()], [[0.1, 0.4], [0.5, 0.9]])
    assert axes.get_xlim()[1] > 0.9


def test_of_many_parameters_the_most_important_are_drawn():
    figure = draw_importances({f"x{i}": i / 1000 for i in range(30)}, LOSS)
    assert "what loss depends on; 10 smaller ones not drawn" in texts(figure)
    assert len(figure.axes[0].patches) == 20
