"""What a sweep of ensembles has found: the comparison of methods, its figures, and rescored results."""

import math
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
from pydantic import ValidationError

from raybayes.errors import DataError
from trainables.ensembles import PROJECT, Config, train
from trainables.ensembles.analysis import RescoreSettings, findings, rescored
from trainables.ensembles.analysis.figures import reliability
from trainables.ensembles.metrics.dee import deep_ensemble_equivalent
from trainables.ensembles.metrics.protocol import SCORES, cross_validated, held_out
from trainables.ensembles.metrics.temperature import fit_temperature, scale
from trainables.ensembles.stored.hyper_deep import hyper_deep_ensemble
from trainables.ensembles.stored.rescore import pool_curve, rescore
from trainables.ensembles.stored.runs import stored_runs

SMALL = {"train_images": 200, "test_images": 60, "epochs": 3, "members": 3, "batch": 16, "foreign": "letters-sample"}
TRIALS = [
    {"method": "deep_ensemble"},
    {"method": "single"},
    {"method": "single", "tta": True},
    {"method": "checkpoint"},
    {"method": "single", "lr": 1e-4},  # a worse trial of a method that is there already
    {"method": "single", "dropout": {"always": True}, "dataset": "mnist-sample", "arch": "lenet"},
]


class Memory:
    """A finished sweep that lies in memory, each trial run with two seeds."""

    def __init__(self, perform, trials):
        self.parts = {
            (trial, repeat): perform(train, Config.model_validate(SMALL | values), seed=10 * trial + repeat).tables
            for trial, values in enumerate(trials)
            for repeat in range(2)
        }
        self.tables = ["curve", "predictions"]
        self.trials = pa.table({"trial": range(len(trials))})
        keys = list(self.parts)
        self.reports = pa.table({"trial": [t for t, _ in keys], "repeat": [r for _, r in keys]})

    def table(self, name, trial=None, repeat=None):
        found = []
        for (t, r), parts in self.parts.items():
            for part, table in sorted(parts.items()):
                if part.split("/")[0] == name and trial in (None, t) and repeat in (None, r):
                    for column, value in (("repeat", r), ("trial", t)):
                        table = table.add_column(0, column, pa.array([value] * len(table), pa.int64()))
                    found.append(table)
        return pa.concat_tables(found)


@pytest.fixture(scope="module")
def finished(run_in_memory):
    return Memory(run_in_memory, TRIALS)


@pytest.fixture(scope="module")
def found(finished):
    return findings(finished)


def rows(tables, beginning):
    return next(table for title, table in tables.items() if title.startswith(beginning)).to_pylist()


def test_every_method_stands_once_by_its_best_trial_with_mean_and_error(found, finished):
    table = {row["method"]: row for row in rows(found.tables, "Methods on the test images, mnist-sample, cnn")}
    assert set(table) == {"deep_ensemble", "single", "single + TTA", "checkpoint"}
    curve = pool_curve(finished.table("predictions", 0))
    for trial, name, size in [(0, "deep_ensemble", 3), (1, "single", 1), (3, "checkpoint", 3)]:
        values = [
            row["value"] for row in finished.table("curve", trial).to_pylist()
            if (row["split"], row["metric"], row["calibrated"], row["n_samples"]) == ("test", "ll", True, size)
        ]  # fmt: skip
        worth = [deep_ensemble_equivalent(value, curve.mean).value for value in values]
        row = table[name]
        assert (row["n"], row["K"]) == (2, size)
        assert row["CLL"] == pytest.approx(np.mean(values))
        assert row["CLL.se"] == pytest.approx(abs(values[0] - values[1]) / 2)
        assert row["DEE"] == pytest.approx(np.mean(worth))
    assert [table[name]["epochs"] for name in ("deep_ensemble", "single", "single + TTA")] == [9, 3, 3]


def test_what_was_trained_otherwise_gets_no_equivalent(found):
    assert rows(found.tables, "Methods on the test images, mnist-sample, lenet (no deep ensembles")[0]["DEE"] is None


def test_another_training_augmentation_gets_no_equivalent(run_in_memory):
    tables = findings(Memory(run_in_memory, [TRIALS[0], {"method": "single", "augment": False}])).tables
    assert [row["method"] for row in rows(tables, "Methods on")] == ["deep_ensemble"]
    assert [row["DEE"] for row in rows(tables, "Trained on other data, augmentation or dropout")] == [None]


def test_equivalents_by_size_and_detection(found):
    by_size = {row["method"]: row for row in rows(found.tables, "DEE by ensemble size, mnist-sample, cnn")}
    assert set(by_size["deep_ensemble"]) == {"method", "n"} | {f"K = {k}{e}" for k in (1, 2, 3) for e in ("", ".se")}
    assert by_size["single"]["K = 2"] is None
    detection = rows(found.tables, "Detection of foreign images among test images, mnist-sample, cnn")
    assert {row["method"] for row in detection} == set(by_size)
    assert all(0 <= row["AUROC"] <= 1 and 0 <= row["FPR95"] <= 1 for row in detection)


def test_every_figure_has_a_line_a_method(found):
    figures = {caption: figure for caption, figure in found.figures.items() if "mnist-sample, cnn" in caption}
    assert [caption.split(",")[0] for caption in figures] == [
        "CLL against ensemble size",
        "Deep ensemble equivalent against ensemble size",
        "Deep ensemble equivalent against training cost",
        "Reliability of the whole ensembles",
    ]
    for caption, figure in figures.items():
        axes = figure.axes[0]
        labels = {line.get_label() for line in axes.lines if not line.get_label().startswith("_")}
        assert labels == {"deep_ensemble", "single", "single + TTA", "checkpoint"}, caption
        assert axes.get_xlabel()
        assert axes.get_ylabel()


def test_reliability_is_the_gap_in_bins_of_equal_count():
    rng = np.random.default_rng(0)
    lp = np.log(rng.dirichlet(np.ones(3), size=(2, 90)))
    targets = rng.integers(0, 3, 90)
    p = np.exp(lp).mean(0)
    order = np.argsort(p.max(1))
    sure, gap = reliability(lp, targets, bins=3)
    for bin_, rows_ in enumerate(np.split(order, 3)):
        assert sure[bin_] == pytest.approx(p[rows_].max(1).mean())
        assert gap[bin_] == pytest.approx((p[rows_].argmax(1) == targets[rows_]).mean() - p[rows_].max(1).mean())


def test_a_sweep_without_members_has_found_nothing():
    assert findings(SimpleNamespace(tables=[])).tables == {}
    with pytest.raises(DataError, match="no predictions are stored here"):
        rescored(SimpleNamespace(tables=[]), RescoreSettings())


def test_rescoring_gives_the_scores_of_the_runs_and_more(found, finished):
    again = rescored(finished, RescoreSettings())
    assert again.tables == found.tables
    key = ("trial", "repeat", "split", "n_samples", "metric", "calibrated")
    known = {tuple(row[name] for name in key): row for row in found.results.to_pylist()}
    rescored_rows = {tuple(row[name] for name in key): row for row in again.results.to_pylist()}
    for name, row in known.items():
        if row["split"] == "test":
            assert rescored_rows[name]["value"] == row["value"]
            assert rescored_rows[name]["cost_epochs"] == row["cost_epochs"]
    assert {"sce", "tace", "misclassified_auc"} <= {row["metric"] for row in rescored_rows.values()}


@pytest.fixture(scope="module")
def few(finished):
    """Two trials of the sweep."""
    some = Memory.__new__(Memory)
    some.parts = {key: value for key, value in finished.parts.items() if key[0] in (0, 3)}
    some.tables, some.reports = finished.tables, finished.reports.filter(pa.compute.field("trial").isin([0, 3]))
    return some


def test_rescoring_in_processes_changes_nothing(few):
    alone, many = (rescored(few, RescoreSettings(scores="main", processes=n)) for n in (1, 2))
    assert many.results.equals(alone.results)


def test_rescoring_on_other_sizes_orders_and_splits(few, finished):
    def value(settings, size=2, split="test"):
        table = rescored(few, RescoreSettings(scores="main", **settings)).results.to_pylist()
        return {
            (row["trial"], row["repeat"]): row["value"] for row in table
            if (row["split"], row["n_samples"], row["metric"], row["calibrated"]) == (split, size, "ll", True)
        }  # fmt: skip

    plain = value({})
    assert value({"splits_seed": 1}) != plain
    shuffled = value({"order": 3})
    assert shuffled != plain
    assert value({"order": 3}, size=3) == pytest.approx(value({}, size=3))  # the whole pool has no order
    assert value({"k_max": 2}) == plain
    assert value({"k_max": 2}, size=3) == {}
    assert set(value({"split": "val"}, split="val")) == set(plain)
    run = next(stored_runs(finished.table("predictions", 0, 1), "test"))
    chosen = np.random.default_rng(3).permutation(3)[:2]
    lp = np.log(np.mean([np.exp(run.lp[k].astype(float)) for k in chosen], axis=0))
    assert shuffled[0, 1] == pytest.approx(cross_validated(lp, run.targets).calibrated["ll"], abs=1e-9)
    with pytest.raises(DataError, match="k_max = 4, but no run has more than 3 members; lower it, or use 0 for all"):
        rescored(few, RescoreSettings(scores="main", k_max=4))
    with pytest.raises(DataError, match="k_max = 4, but 3 members are stored; lower it, or use 0 for all"):
        rescore(few.table("predictions", 0, 0), k_max=4)
    with pytest.raises(ValidationError):
        RescoreSettings(order=-1)


def test_a_hyper_deep_ensemble_is_chosen_from_the_whole_sweep(few):
    found = rescored(few, RescoreSettings(scores="main", hyper_deep=3))
    chosen = rows(found.tables, "Hyper-deep ensemble, chosen one by one from 12 members")
    wanted = hyper_deep_ensemble(few.table("predictions"), 3)
    assert [(row["trial"], row["repeat"], row["member"]) for row in chosen] == list(wanted.members)
    assert [row["CLL"] for row in chosen] == [one["ll"] for one in wanted.test]
    assert {row["method"] for row in chosen} <= {"deep_ensemble", "checkpoint"}
    assert [row["K"] for row in chosen] == [1, 2, 3]


def test_a_single_network_stands_beside_larger_ensembles(finished):
    some = Memory.__new__(Memory)
    some.parts = {key: value for key, value in finished.parts.items() if key[0] in (0, 1)}
    some.tables, some.reports = finished.tables, finished.reports.filter(pa.compute.field("trial").isin([0, 1]))
    results = rescored(some, RescoreSettings(scores="main", k_max=2)).results.to_pylist()
    sizes = {(row["method"], row["n_samples"]) for row in results}
    assert sizes == {("deep_ensemble", 1), ("deep_ensemble", 2), ("single", 1)}


def test_the_temperature_of_validation_images(finished):
    table = finished.table("predictions", 0, 0)
    val, test = (next(stored_runs(table, split)) for split in ("val", "test"))
    results = rescore(table, "test", SCORES, fit_on="val").to_pylist()
    found = {(r["n_samples"], r["metric"]): r for r in results if r["calibrated"]}[1, "ll"]
    fitted = fit_temperature(val.lp[0], val.targets).value
    picked = scale(test.lp[0], fitted)[np.arange(len(test.targets)), test.targets]
    assert found["temperature"] == pytest.approx(fitted)
    assert found["value"] == pytest.approx(picked.mean())
    assert held_out(test.lp[0], test.targets, val.lp[0], val.targets).calibrated["ll"] == pytest.approx(picked.mean())
    field = pa.compute.field
    other = table.filter((field("split") != "val") | (field("member") < 2))
    with pytest.raises(DataError, match="the members of split 'val'"):
        rescore(other, "test", SCORES, fit_on="val")


def test_predictions_that_are_no_probabilities_are_refused(finished):
    table = finished.table("predictions", 0, 0)
    at = table.column_names.index("lp")
    lists = table["lp"].combine_chunks()
    doubled = pa.FixedSizeListArray.from_arrays(pa.array(lists.flatten().to_numpy() * 2), 10)
    with pytest.raises(
        DataError, match=r"member 0: the sum of the probabilities deviates from 1 by .*; store log_softmax"
    ):
        rescore(table.set_column(at, "lp", doubled))


def test_no_scheduler_stops_a_trial_before_its_first_member():
    assert PROJECT.grace_period(Config(method="snapshot")) == 5
    assert PROJECT.grace_period(Config(method="swag")) == 41
    assert math.isclose(PROJECT.grace_period(Config()), 20)
