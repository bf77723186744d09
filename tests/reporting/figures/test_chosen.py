"""The figures that a page has by choice, against what they must show."""

import numpy as np
import pyarrow as pa
import pytest

import raybayes as rb
from raybayes.cli.main import main
from raybayes.reporting.figures.chosen import CHOSEN, draw_chosen
from raybayes.reporting.figures.distribution import empirical_distribution
from raybayes.reporting.figures.hypervolume_history import hypervolumes
from raybayes.reporting.figures.pairs import _ranks
from raybayes.search.objective import Objective
from raybayes.space import Choice, Float, Int, Space

SPACE = Space({"lr": Float(1e-4, 1, log=True), "width": Int(8, 64), "kind": Choice("a", "b", None),
               "rank": Int(1, 9, when={"kind": "b"})})  # fmt: skip
LOSS, SIZE = Objective("loss", "minimize"), Objective("size", "maximize")


def table(n=30, seed=0):
    rng = np.random.default_rng(seed)
    kinds = rng.integers(2, size=n)
    lr = 10 ** rng.uniform(-4, 0, n)
    return pa.table({
        "trial": list(range(n)),
        "state": ["COMPLETE"] * n,
        "loss": (np.log10(lr) + 2) ** 2 + 0.1 * kinds,
        "size": rng.uniform(size=n),
        "config.lr": lr,
        "config.width": rng.integers(8, 65, n),
        "config.kind": [("a", "b")[kind] for kind in kinds],
        "config.rank": [int(rng.integers(1, 10)) if kind else None for kind in kinds],
    })  # fmt: skip


class TestPairs:
    @pytest.mark.parametrize("name", ["contour", "rank"])
    def test_axes_are_those_that_the_space_declares(self, name):
        axes = draw_chosen(name, table(), SPACE, [LOSS], ["lr", "kind"]).axes[0]
        assert (axes.get_xlabel(), axes.get_ylabel()) == ("lr", "kind")
        assert (axes.get_xscale(), axes.get_yscale()) == ("log", "linear")
        assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b", "–"], "also choices that none has"
        assert len(axes.collections[-1].get_offsets()) == 30

    def test_a_conditional_parameter_has_the_trials_that_have_it(self):
        axes = draw_chosen("contour", table(), SPACE, [LOSS], ["lr", "rank"]).axes[0]
        active = [rank for rank in table()["config.rank"].to_pylist() if rank is not None]
        assert axes.collections[-1].get_offsets()[:, 1].tolist() == active

    def test_contours_are_of_the_function_between_the_trials(self):
        """Points of a plane: the contour's colour at each place is the plane's."""
        rng = np.random.default_rng(1)
        x, y = 10 ** rng.uniform(-4, 0, 60), rng.integers(8, 65, 60)
        plane = pa.table({"trial": list(range(60)), "state": ["COMPLETE"] * 60, "loss": np.log10(x),
                          "config.lr": x, "config.width": y})  # fmt: skip
        axes = draw_chosen("contour", plane, SPACE, [LOSS], ["lr", "width"]).axes[0]
        contours = axes.collections[0]
        assert len(contours.get_paths()) == 12
        for path, low, high in zip(contours.get_paths(), contours.levels, contours.levels[1:], strict=False):
            inside = np.log10(path.vertices[:, 0]) if len(path.vertices) else np.array([low])
            assert (inside >= low - 0.05).all()
            assert (inside <= high + 0.05).all()

    def test_over_a_choice_there_is_nothing_between_trials(self):
        assert len(draw_chosen("contour", table(), SPACE, [LOSS], ["lr", "kind"]).axes[0].collections) == 1

    def test_ranks_share_ties(self):
        assert _ranks(np.array([3.0, 1.0, 3.0, 9.0, 1.0])).tolist() == [0.625, 0.125, 0.625, 1.0, 0.125]

    def test_three_parameters_have_three_pairs(self):
        assert len(draw_chosen("rank", table(), SPACE, [LOSS]).axes) == 4, "and the colour bar"


def test_the_distribution_is_that_of_numpy():
    value, share = empirical_distribution(table(), LOSS)
    every = np.array(table()["loss"].to_pylist())
    assert share.tolist() == [(every <= each).mean() for each in value]
    best_first, _ = empirical_distribution(table(), SIZE)
    assert (np.diff(best_first) <= 0).all()


def test_the_hypervolume_grows_to_the_whole():
    number, share = hypervolumes(table(), [LOSS, SIZE])
    assert number.tolist() == list(range(30))
    assert (np.diff(share) >= 0).all()
    assert share[-1] == 1


class TestChoice:
    @pytest.mark.parametrize(
        ("arguments", "said"),
        [
            (
                ("contuor", table(), SPACE, [LOSS]),
                r"unknown figure 'contuor'; did you mean 'contour'\? Valid figures: co",
            ),
            (("rank", table(), SPACE, [LOSS], ["lr", "x"]), "the space has no parameter 'x'"),
            (("rank", table(), SPACE, [LOSS], ["lr"]), "rank: found the parameters lr; contour and rank take two or"),
            (("distribution", table(), SPACE, [LOSS], ["lr", "width"]), "contour and rank take two"),
            (("contour", table(3), SPACE, [LOSS]), "figure contour needs four finished trials"),
            (("hypervolume", table(), SPACE, [LOSS]), "figure hypervolume needs several objectives"),
        ],
    )
    def test_what_cannot_be_drawn_says_why(self, arguments, said):
        with pytest.raises(rb.SpecError, match=said):
            draw_chosen(*arguments)

    def test_on_the_page_and_from_python(self, tmp_path, capsys):
        def both(config):
            return {"loss": config["lr"], "size": config["width"]}

        sweep = rb.simulate(both, SPACE, trials=12, objective={"loss": "minimize", "size": "maximize"},
                            storage=tmp_path, name="s").sweep  # fmt: skip
        assert main(["report", sweep.path, "--figures", ",".join(CHOSEN)]) == 0
        page = (tmp_path / "s" / "report.html").read_text()
        for name in CHOSEN:
            assert f'<figure id="{name}">' in page
            assert (tmp_path / "s" / "figures" / f"{name}.svg").exists()
        assert len(sweep.figure("contour", ("lr", "width")).axes) == 2
        capsys.readouterr()
        assert main(["report", sweep.path, "--figures", "heat"]) == 2
        assert "unknown figure 'heat'; valid figures: contour, rank" in capsys.readouterr().err
