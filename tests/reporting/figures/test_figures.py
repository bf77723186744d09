import io
import re
import subprocess
import sys

import matplotlib
import numpy as np
import pyarrow as pa
import pytest
from matplotlib.collections import LineCollection
from matplotlib.colors import to_rgba
from PIL import Image

from raybayes.reporting import ranking
from raybayes.reporting.figures import style
from raybayes.reporting.figures.history import draw_history
from raybayes.reporting.figures.importances import draw_importances
from raybayes.reporting.figures.learning_curves import draw_learning_curves
from raybayes.reporting.figures.parallel_coordinates import draw_parallel_coordinates
from raybayes.reporting.figures.pareto_front import draw_pareto_front
from raybayes.reporting.figures.slices import MOST_SLICES, draw_slices
from raybayes.reporting.figures.timeline import draw_timeline
from raybayes.search.objective import Objective


def texts(figure):
    return [text.get_text() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]


def offsets(axes, label):
    [found] = [c for c in axes.collections if c.get_label() == label]
    return np.asarray(found.get_offsets())


def test_history_shows_every_trial_in_its_state_and_the_best_so_far(sweep, accuracy):
    trials, _ = sweep(40, bad_rate=0.1)
    [axes] = draw_history(trials, accuracy).axes
    state, value = ranking.state_column(trials), ranking.float_column(trials, "accuracy")
    for name, label in (("COMPLETE", "complete"), ("PRUNED", "pruned"), ("RUNNING", "running")):
        np.testing.assert_array_equal(offsets(axes, label)[:, 0], np.flatnonzero(state == name))
    complete = offsets(axes, "complete")
    inside = complete[:, 1] > axes.get_ylim()[0] + 1e-9
    np.testing.assert_allclose(complete[inside, 1], value[complete[inside, 0].astype(int)])
    np.testing.assert_array_equal(offsets(axes, "failed")[:, 0], np.flatnonzero(state == "FAIL"))
    [line] = [line for line in axes.lines if line.get_label() == "best so far"]
    done = np.flatnonzero(state == "COMPLETE")
    np.testing.assert_allclose(line.get_ydata()[:-1], [value[done[: i + 1]].max() for i in range(len(done))])
    assert axes.get_ylabel() == "accuracy (%)"
    assert axes.get_xlabel() == "trial"


def test_history_draws_standard_errors_where_configurations_were_repeated(sweep, accuracy):
    once, _ = sweep(20)
    again, _ = sweep(20, repeats=True)
    assert "± standard error" not in texts(draw_history(once, accuracy))
    assert "± standard error" in texts(draw_history(again, accuracy))


def test_a_diverged_trial_does_not_flatten_the_rest(sweep, nll):
    trials, _ = sweep(40, bad_rate=0, running=0)
    value = ranking.float_column(trials, "nll").copy()
    state = ranking.state_column(trials)
    lost = int(np.flatnonzero(state == "COMPLETE")[-1])
    value[lost] = 1e4
    trials = trials.set_column(trials.column_names.index("nll"), "nll", pa.array(value))
    figure = draw_history(trials, nll)
    [axes] = figure.axes
    bottom, top = axes.get_ylim()
    assert top < 20
    assert bottom <= value[state == "COMPLETE"].min()
    shown = offsets(axes, "complete")
    assert shown[shown[:, 0] == lost, 1] == pytest.approx(top)
    beyond = ((value > top) | (value < bottom)).sum()
    assert f"{beyond} outside the y axis, drawn at its edge" in texts(figure)


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_limits_keep_the_good_side_whole(direction):
    rng = np.random.default_rng(0)
    values = rng.normal(0, 1, 50)
    good, bad = (-30.0, 500.0) if direction == "minimize" else (30.0, -500.0)
    low, high = style.objective_limits(np.append(values, [good, bad]), Objective("x", direction))
    assert low < good < high
    assert not low < bad < high
    assert style.objective_limits(values, Objective("x", direction)) is None
    assert style.objective_limits(np.array([1.0, 1e9]), Objective("x", direction)) is None


def test_wide_ranges_get_a_logarithmic_axis():
    assert style.spans_decades(np.array([1e-4, 1e-2, 1.0, np.nan]))
    assert not style.spans_decades(np.array([-1e-4, 1e-2, 1.0]))
    assert not style.spans_decades(np.array([3.0, 4.0]))
    assert not style.spans_decades(np.array([np.nan]))


def test_learning_curves_are_the_reports(sweep, accuracy):
    trials, reports = sweep(30)
    [axes] = draw_learning_curves(trials, reports, accuracy, "epoch").axes
    assert axes.get_xlabel() == "epoch"
    assert axes.get_ylabel() == "accuracy (%)"
    best = ranking.best_trials(trials, [accuracy])[0]
    drawn = {
        to_rgba(lines.get_colors()[0])[:3]: lines.get_segments()
        for lines in axes.collections
        if isinstance(lines, LineCollection) and lines.get_segments()
    }
    [curve] = drawn[to_rgba(style.VERMILLION)[:3]]
    mine = reports.filter(pa.compute.equal(reports["trial"], best))
    np.testing.assert_allclose(curve, np.stack([mine["step"], mine["accuracy"]], axis=1))
    state = ranking.state_column(trials)
    assert len(drawn[to_rgba(style.LIGHT)[:3]]) == (state == "PRUNED").sum()
    assert len(drawn[to_rgba(style.BLUE)[:3]]) == (state == "COMPLETE").sum() - 1


def test_every_repeat_of_a_trial_is_a_curve(sweep, accuracy):
    trials, reports = sweep(1, running=0, bad_rate=0)
    second = reports.set_column(1, "repeat", pa.array([1] * len(reports), pa.int64()))
    [axes] = draw_learning_curves(trials, pa.concat_tables([reports, second]), accuracy, "epoch").axes
    assert [len(c.get_segments()) for c in axes.collections if isinstance(c, LineCollection)] == [2]


def test_a_metric_of_the_last_report_alone_is_a_point(sweep, accuracy):
    trials, reports = sweep(6, bad_rate=0)
    last = pa.compute.if_else(pa.compute.equal(reports["step"], 30), reports["accuracy"], None)
    reports = reports.set_column(reports.column_names.index("accuracy"), "accuracy", last)
    [axes] = draw_learning_curves(trials, reports, accuracy, "epoch").axes
    assert sum(len(c.get_offsets()) for c in axes.collections if not isinstance(c, LineCollection)) == 4


def test_slices_have_one_panel_a_parameter_that_varies(sweep, accuracy):
    trials, _ = sweep(40)
    figure = draw_slices(trials, accuracy, {"weight_decay": 0.9})
    panels = [axes for axes in figure.axes if axes.get_xlabel()]
    assert panels[0].get_xlabel() == "weight_decay"
    assert {axes.get_xlabel() for axes in panels} == set(ranking.parameter_names(trials))
    scales = {axes.get_xlabel(): axes.get_xscale() for axes in panels}
    assert (scales["lr"], scales["sse.cycles"]) == ("log", "linear")
    [method] = [axes for axes in panels if axes.get_xlabel() == "method"]
    assert [label.get_text() for label in method.get_xticklabels()] == ["single", "sse", "swag"]
    [cycles] = [axes for axes in panels if axes.get_xlabel() == "sse.cycles"]
    active = [
        v
        for v, r in zip(
            ranking.parameter_values(trials, "sse.cycles"), ranking.float_column(trials, "accuracy"), strict=True
        )
        if v is not None and np.isfinite(r)
    ]
    assert sorted(x for c in cycles.collections for x in np.asarray(c.get_offsets())[:, 0]) == sorted(active)


def test_slices_of_many_parameters_say_how_many_are_left_out(sweep, accuracy):
    trials, _ = sweep(20)
    for i in range(10):
        trials = trials.append_column(f"config.extra{i}", pa.array(range(20)))
    assert any(f"{17 - MOST_SLICES} more parameters not drawn" in text for text in texts(draw_slices(trials, accuracy)))


def test_parallel_coordinates_pass_through_every_finished_trial(sweep, accuracy):
    trials, _ = sweep(40)
    [axes] = draw_parallel_coordinates(trials, accuracy).axes
    lines = sum(len(c.get_segments()) for c in axes.collections)
    assert lines + 1 == ranking.finished_mask(trials, [accuracy]).sum()
    [best] = [line for line in axes.lines if str(line.get_label()).startswith("best: trial")]
    assert best.get_label() == f"best: trial {ranking.best_trials(trials, [accuracy])[0]}"
    assert best.get_ydata()[-1] == 1.0  # accuracy is maximised, and its axis goes up
    heights = np.concatenate([np.array(c.get_segments())[:, :, 1].ravel() for c in axes.collections])
    assert heights.min() >= -0.2
    assert heights.max() <= 1.05


@pytest.mark.parametrize("directions", [("minimize", "minimize"), ("maximize", "minimize"), ("maximize", "maximize")])
def test_the_front_is_drawn_so_that_no_trial_lies_beyond_it(directions):
    rng = np.random.default_rng(1)
    x, y = rng.uniform(0, 1, (2, 60))
    objectives = [Objective("x", directions[0], "s"), Objective("y", directions[1], "%")]
    trials = pa.table({"trial": range(60), "state": ["COMPLETE"] * 60, "x": x, "y": y})
    [axes] = draw_pareto_front(trials, objectives).axes
    front = ranking.best_trials(trials, objectives)
    assert {tuple(point) for point in offsets(axes, "Pareto front")} == {(x[i], y[i]) for i in front}
    assert len(offsets(axes, "dominated")) == 60 - len(front)
    [line] = [line for line in axes.lines if line.get_drawstyle().startswith("steps")]
    fx, fy = np.array(line.get_xdata()), np.array(line.get_ydata())
    for at in np.linspace(fx[0], fx[-1], 200)[1:-1]:  # drawn is the best y of all trials that are as good in x
        after = int(np.searchsorted(fx, at, side="right"))
        drawn = fy[after] if line.get_drawstyle() == "steps-pre" else fy[after - 1]
        reach = y[x <= at] if directions[0] == "minimize" else y[x >= at]
        assert drawn == (reach.min() if directions[1] == "minimize" else reach.max())
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("x (s)", "y (%)")


def test_three_objectives_are_three_pairs(sweep, accuracy, nll):
    trials, _ = sweep(20)
    figure = draw_pareto_front(trials, [accuracy, nll, Objective("seconds", "minimize", "s")])
    assert [(axes.get_xlabel(), axes.get_ylabel()) for axes in figure.axes] == [
        ("accuracy (%)", "nll (nats)"),
        ("accuracy (%)", "seconds (s)"),
        ("nll (nats)", "seconds (s)"),
    ]


def test_nothing_to_draw_is_no_figure(empty, accuracy, nll):
    trials, reports = empty
    assert draw_history(trials, accuracy) is None
    assert draw_learning_curves(trials, reports, accuracy, "epoch") is None
    assert draw_slices(trials, accuracy) is None
    assert draw_importances({}, accuracy) is None
    assert draw_parallel_coordinates(trials, accuracy) is None
    assert draw_pareto_front(trials, [accuracy, nll]) is None
    assert draw_timeline(trials) is None


def test_one_trial_is_enough_for_what_makes_sense(sweep, accuracy, nll):
    trials, reports = sweep(1, running=0, bad_rate=0)
    for figure in (
        draw_history(trials, accuracy),
        draw_learning_curves(trials, reports, accuracy, "epoch"),
        draw_timeline(trials),
        draw_pareto_front(trials, [accuracy, nll]),
    ):
        assert len(style.render_figure(figure, "png")) > 5000
    assert draw_parallel_coordinates(trials, accuracy) is None
    assert draw_slices(trials, accuracy) is None


def test_constant_objectives_and_parameters_draw(sweep, accuracy):
    trials, _ = sweep(12, running=0, bad_rate=0)
    same = pa.array([90.0] * 12)
    trials = trials.set_column(trials.column_names.index("accuracy"), "accuracy", same)
    for figure in (
        draw_history(trials, accuracy),
        draw_slices(trials, accuracy),
        draw_parallel_coordinates(trials, accuracy),
    ):
        assert len(style.render_figure(figure, "png")) > 5000


def test_pictures_are_the_same_each_time_and_print_on_a4(sweep, accuracy):
    trials, _ = sweep(20)
    figure = draw_history(trials, accuracy)
    assert style.render_figure(figure, "svg") == style.render_figure(draw_history(trials, accuracy), "svg")
    png = style.render_figure(figure, "png")
    assert png == style.render_figure(figure, "png")
    assert Image.open(io.BytesIO(png)).width == 1400
    assert figure.get_figwidth() <= 7.5  # inches between the margins of A4
    sizes = [text.get_fontsize() for text in figure.findobj(matplotlib.text.Text) if text.get_text()]
    assert min(sizes) >= 7
    svg = style.render_figure(figure, "svg").decode()
    assert not re.search(r'(href|src)="http', svg.replace('xmlns:xlink="http', ""))


def test_matplotlib_is_left_as_it_was(sweep, accuracy):
    names = [name for name in matplotlib.rcParams if name != "backend"]  # reading that one chooses one
    before = {name: matplotlib.rcParams[name] for name in names}
    style.render_figure(draw_history(sweep(5)[0], accuracy), "svg")
    assert {name: matplotlib.rcParams[name] for name in names} == before


def test_reports_need_no_windows_no_ray_and_no_torch():
    code = (
        "import sys, raybayes.reporting.page.make_page\n"
        "print([name for name in ('matplotlib.pyplot', 'ray', 'torch', 'optuna') if name in sys.modules])"
    )
    environment = {"PYTHONPATH": ":".join(sys.path)}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, check=True)
    assert run.stdout == "[]\n"
