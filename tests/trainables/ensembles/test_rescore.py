"""From stored predictions to results, curves, equivalents and hyper-deep ensembles."""

import itertools
import math

import numpy as np
import pyarrow as pa
import pytest
from scipy.special import log_softmax
from sklearn.metrics import roc_auc_score

from raybayes import data as raybayes_data
from raybayes.errors import DataError
from trainables.ensembles import Config, train
from trainables.ensembles.data.foreign import foreign_images
from trainables.ensembles.metrics.dee import deep_ensemble_equivalent
from trainables.ensembles.metrics.protocol import SCORES, cross_validated
from trainables.ensembles.metrics.reference import ReferenceCurve, reference_curve
from trainables.ensembles.metrics.scores import log_likelihood
from trainables.ensembles.metrics.selection import select_greedily
from trainables.ensembles.stored.exchange import cached_scores, from_reference, to_reference
from trainables.ensembles.stored.hyper_deep import hyper_deep_ensemble
from trainables.ensembles.stored.rescore import detect_foreign, equivalents, pool_curve, rescore
from trainables.ensembles.stored.runs import stored_runs

SMALL = {"train_images": 60, "test_images": 40, "epochs": 2, "members": 3, "batch": 16}


def stored(result, trial=0, repeat=0):
    """A run's predictions as the store returns them."""
    parts = [table for name, table in sorted(result.tables.items()) if name.startswith("predictions/")]
    table = pa.concat_tables([part.replace_schema_metadata(None) for part in parts])
    for name, value in (("repeat", repeat), ("trial", trial)):
        table = table.add_column(0, name, pa.array([value] * len(table), pa.int64()))
    return table


@pytest.fixture(scope="module")
def two_runs(run_in_memory):
    return [run_in_memory(train, Config.model_validate(SMALL), seed=seed) for seed in (0, 1)]


def case(rng, n=60, classes=4, quality=1.0):
    y = rng.integers(0, classes, n)
    return [log_softmax(rng.normal(size=(n, classes)) + quality * np.eye(classes)[y], axis=1) for _ in range(6)], y


def test_rescoring_repeats_the_curve_of_the_run(two_runs):
    curve = {
        (r["n_samples"], r["metric"], r["calibrated"]): r["value"]
        for r in two_runs[0].tables["curve"].to_pylist()
        if r["split"] == "test"
    }
    results = rescore(stored(two_runs[0]), scores=SCORES)
    again = {(r["n_samples"], r["metric"], r["calibrated"]): r["value"] for r in results.to_pylist()}
    assert again == curve
    assert results.equals(rescore(stored(two_runs[0]), scores=SCORES))


def test_all_scores_are_there_for_every_run_and_size(two_runs):
    table = pa.concat_tables([stored(two_runs[0], trial=3), stored(two_runs[1], trial=1, repeat=2)])
    rows = rescore(table, split="val").to_pylist()
    assert {(r["trial"], r["repeat"]) for r in rows} == {(3, 0), (1, 2)}
    assert {r["n_samples"] for r in rows} == {1, 2, 3}
    assert {"ll", "error_top5", "sce", "augrc", "misclassified_auc"} <= {r["metric"] for r in rows}
    assert {"mutual_information", "misclassified_ap_mutual_information"} <= {r["metric"] for r in rows}
    assert len({r["targets_sha256"] for r in rows}) == 1


def test_members_on_different_objects_are_refused(two_runs):
    table = stored(two_runs[0])
    column = table["target"].to_numpy().copy()
    split = table["split"].to_numpy(zero_copy_only=False)
    first = np.flatnonzero((split == "test") & (table["member"].to_numpy() == 1))[0]
    column[first] = (column[first] + 1) % 10
    mixed = table.set_column(table.column_names.index("target"), "target", pa.array(column))
    with pytest.raises(DataError, match="trial 0, repeat 0, test: members were scored on 2 different lists"):
        list(stored_runs(mixed, "test"))
    with pytest.raises(DataError, match="no split 'train'; runs store 'val', 'test'"):
        list(stored_runs(table, "train"))


def test_runs_on_different_objects_are_not_put_together(two_runs, run_in_memory):
    other = run_in_memory(train, Config.model_validate(SMALL | {"split_seed": 1, "members": 1}))
    table = pa.concat_tables([stored(two_runs[0]), stored(other, trial=7)])
    with pytest.raises(DataError, match="trials 0 and 7 were scored on different test objects"):
        pool_curve(table)
    with pytest.raises(DataError, match="trials 0 and 7 were scored on different val objects"):
        hyper_deep_ensemble(table, 2)


def test_a_pool_curve_joins_all_runs(two_runs):
    table = pa.concat_tables([stored(two_runs[0]), stored(two_runs[1], trial=1)])
    curve = pool_curve(table)
    assert curve.pool == 6
    assert list(curve.mean) == [1, 2, 3, 4, 5, 6]
    whole = np.mean(np.exp(np.concatenate([run.lp for run in stored_runs(table, "test")]).astype(np.float64)), axis=0)
    targets = next(stored_runs(table, "test")).targets
    assert curve.mean[6] == pytest.approx(cross_validated(np.log(whole), targets).calibrated["ll"], abs=1e-9)
    found = equivalents(rescore(table, scores=SCORES), curve).to_pylist()
    assert len(found) == 6
    assert all(1 <= row["dee"] <= 6 for row in found)


def test_the_spread_of_a_pool_is_unknown_above_its_half():
    members, y = case(np.random.default_rng(0))
    curve = reference_curve(members, y)
    assert [math.isnan(curve.std[size]) for size in range(1, 7)] == [False] * 3 + [True] * 3
    assert curve.std[1] > 0
    assert curve == reference_curve(members, y)
    with pytest.raises(DataError, match="found 0 networks and 'll'"):
        reference_curve([], y)


def test_bounds_are_unknown_where_the_spread_is():
    curve = ReferenceCurve({1: -1.0, 2: -0.5, 3: -0.4}, {1: 0.1, 2: 0.1, 3: math.nan}, 4, 5)
    inside = deep_ensemble_equivalent(-0.7, curve.mean, curve.std)
    assert inside.lower < inside.value < inside.upper
    beyond = deep_ensemble_equivalent(-0.45, curve.mean, curve.std)
    assert beyond.value == pytest.approx(2.5)
    assert math.isnan(beyond.upper)
    assert beyond.lower == pytest.approx(1 + 0.45 / 0.5)


def test_results_without_the_metric_are_named(two_runs):
    with pytest.raises(DataError, match="lack 'top5' with calibrated = True"):
        equivalents(rescore(stored(two_runs[0]), scores=SCORES), ReferenceCurve({1: 0.0}, {1: 0.0}, 1, 1), "top5")


def test_greedy_selection_takes_the_best_step_each_time():
    rng = np.random.default_rng(1)
    members, y = case(rng)

    def cll(indices):
        average = np.log(np.mean([np.exp(members[i]) for i in indices], axis=0))
        return cross_validated(average, y, {"ll": log_likelihood}).calibrated["ll"]

    chosen = select_greedily(members, y, 3)
    for step in range(3):
        options = [cll([*chosen[:step], candidate]) for candidate in range(6)]
        assert chosen[step] == int(np.argmax(options))
    best_pair = max(itertools.combinations_with_replacement(range(6), 2), key=cll)
    assert cll(chosen[:2]) <= cll(best_pair) + 1e-12
    with pytest.raises(DataError, match="found 0 and 2"):
        select_greedily([], y, 2)


def test_a_hyper_deep_ensemble_names_its_members(two_runs):
    table = pa.concat_tables([stored(two_runs[0]), stored(two_runs[1], trial=4)])
    found = hyper_deep_ensemble(table, 3)
    assert len(found.members) == 3
    assert {trial for trial, _, _ in found.members} <= {0, 4}
    by_name = {
        (run.trial, run.repeat, number): lp
        for run in stored_runs(table, "test")
        for number, lp in zip(run.members, run.lp, strict=True)
    }
    average = np.log(np.mean([np.exp(by_name[name].astype(np.float64)) for name in found.members], axis=0))
    targets = next(stored_runs(table, "test")).targets
    assert found.test[-1]["ll"] == pytest.approx(cross_validated(average, targets).calibrated["ll"], abs=1e-9)
    alone = max(cross_validated(lp, run.targets).calibrated["ll"] for run in stored_runs(table, "val") for lp in run.lp)
    assert found.validation_cll[0] == pytest.approx(alone, abs=1e-9)  # the first is the best one alone
    assert hyper_deep_ensemble(table, 2).members == found.members[:2]
    assert hyper_deep_ensemble(table, 2).test == found.test[:2]


def test_wrong_predictions_are_found_by_what_members_disagree_about(two_runs):
    table = stored(two_runs[0])
    found = {(r["n_samples"], r["metric"]): r["value"] for r in rescore(table).to_pylist() if not r["calibrated"]}
    run = next(stored_runs(table, "test"))
    members = run.lp.astype(np.float64)
    p = np.exp(members).mean(axis=0)
    information = -(p * np.log(p)).sum(1) + (np.exp(members) * members).sum(2).mean(0)
    wrong = p.argmax(1) != run.targets
    assert found[3, "misclassified_auc_mutual_information"] == pytest.approx(roc_auc_score(wrong, information))
    assert found[1, "misclassified_auc_mutual_information"] == pytest.approx(0.5)  # one member agrees with itself


def test_an_unfinished_run_is_no_candidate(two_runs):
    table = stored(two_runs[0])
    member = table["member"].to_numpy()
    split = table["split"].to_numpy(zero_copy_only=False)
    with pytest.raises(DataError, match="leave out unfinished runs"):
        hyper_deep_ensemble(table.filter(pa.array((member != 2) | (split == "val"))), 2)


PAIRS = [("mnist-sample", "letters-sample"), ("cifar10-sample", "mnist-sample")]


@pytest.mark.parametrize(("dataset", "foreign"), PAIRS)
def test_foreign_images_are_predicted_and_detected(dataset, foreign, run_in_memory):
    values = SMALL | {"dataset": dataset, "foreign": foreign, "members": 2}
    table = stored(run_in_memory(train, Config.model_validate(values)))
    found = detect_foreign(table).to_pylist()
    assert {(r["n_samples"], r["score"]) for r in found} == {
        (1, "negative_confidence"),
        (1, "entropy"),
        (2, "negative_confidence"),
        (2, "entropy"),
        (2, "mutual_information"),
    }
    inside, outside = next(stored_runs(table, "test")), next(stored_runs(table, "foreign"))
    assert outside.lp.shape == inside.lp.shape
    scores = np.r_[-np.exp(inside.lp[0]).max(1), -np.exp(outside.lp[0]).max(1)]
    wanted = roc_auc_score(np.r_[np.zeros(40), np.ones(40)], scores)
    assert found[0]["roc_auc"] == pytest.approx(wanted)
    with pytest.raises(DataError, match="no split 'foreign'"):
        detect_foreign(table.filter(pa.array(table["split"].to_numpy(zero_copy_only=False) != "foreign")))


def test_letters_become_digits_in_size_and_colour():
    tables, pixels = raybayes_data.load("letters-sample"), raybayes_data.describe("mnist-sample").pixels
    found = foreign_images("letters-sample", tables, pixels)
    n_letters = sum(len(word) for table in tables.values() for word in table["word"].to_pylist())
    assert found.shape == (n_letters, 1, 28, 28)
    assert found[:, :, :4].max() == found[..., -4:].max() == 0
    assert found.max() == 255
    ink = np.unpackbits(np.frombuffer(next(iter(tables.values()))["images"][0].as_py(), np.uint8)).reshape(-1, 16, 8)
    shares = found[0, 0].float().sum() / 255 / 20**2, ink[0].sum() / 16**2
    assert shares[0] == pytest.approx(shares[1], rel=0.05)  # as much ink as before
    cifar = raybayes_data.describe("cifar10").pixels
    colour = foreign_images("mnist-sample", raybayes_data.load("mnist-sample"), cifar)
    assert colour.shape == (1000, 3, 32, 32)
    assert (colour[:, 0] == colour[:, 2]).all()
    grey = foreign_images("cifar10-sample", raybayes_data.load("cifar10-sample"), pixels)
    assert grey.shape == (500, 1, 28, 28)
    with pytest.raises(
        DataError, match="mnist: split 'test' is missing, found train; foreign images are taken from it"
    ):
        foreign_images("mnist", {"train": next(iter(tables.values()))}, pixels)


def test_results_travel_to_the_reference_code_and_back(two_runs):
    curve = two_runs[0].tables["curve"]
    there = to_reference(curve)
    assert there.column_names == ["dataset", "model", "method", "n_samples", "metric", "value", "info"]
    assert {"deep_ensemble", "deep_ensemble (ts)"} == set(there["method"].to_pylist())
    back = from_reference(there)
    wanted = [r for r in curve.to_pylist() if r["split"] == "test"]
    for row, original in zip(back.to_pylist(), wanted, strict=True):
        assert all(row[key] == original[key] for key in ("method", "augment", "calibrated", "value", "metric"))
    tta = from_reference(pa.table({**{n: ["x"] for n in there.column_names}, "method": ["fge_augment (ts)"]}))
    assert tta.to_pylist()[0]["method"] == "fge"
    assert tta.to_pylist()[0]["augment"]
    with pytest.raises(DataError, match=r"not a log of the reference code: dataset, model, .* is missing, found a"):
        from_reference(pa.table({"a": [1]}))


def test_averaged_predictions_of_the_reference_code_are_scored_anew(tmp_path):
    (lp, *_), y = case(np.random.default_rng(2))
    np.save(tmp_path / "logits_CIFAR10-VGG16BN-sse_augment-50-1.npy", lp.astype(np.float32))
    with pytest.raises(DataError, match=r"CIFAR10-targets\.npy cannot be read as an array of numbers"):
        cached_scores(tmp_path)
    np.save(tmp_path / "CIFAR10-targets.npy", y)
    found = cached_scores(tmp_path, {"ll": log_likelihood}).to_pylist()
    wanted = cross_validated(lp.astype(np.float32), y, {"ll": log_likelihood})
    assert [row.pop("value") for row in found] == [wanted.raw["ll"], wanted.calibrated["ll"]]
    assert [row.pop("temperature") for row in found] == [1.0, wanted.temperature]
    assert [row.pop("calibrated") for row in found] == [False, True]
    same = {"dataset": "CIFAR10", "model": "VGG16BN", "method": "sse", "run": "1", "n_samples": 50, "augment": True}
    assert found == [{**same, "metric": "ll"}] * 2


def test_a_cache_of_the_reference_code_with_other_targets_is_refused(tmp_path):
    with pytest.raises(DataError, match=r"has no file named logits_<dataset>-<model>-<method>-<K>-<run>\.npy"):
        cached_scores(tmp_path)
    (lp, *_), y = case(np.random.default_rng(2))
    np.save(tmp_path / "logits_CIFAR10-VGG16BN-sse-5-1.npy", lp)
    np.save(tmp_path / "CIFAR10-targets.npy", y[:-1])
    with pytest.raises(DataError, match=r"log-probabilities \(60, 4\) and targets \(59,\) do not match"):
        cached_scores(tmp_path)
    np.save(tmp_path / "CIFAR10-targets.npy", y)
    np.save(tmp_path / "logits_CIFAR10-VGG16BN-sse-5-1.npy", 2 * lp)
    with pytest.raises(
        DataError, match=r"sse-5-1\.npy: the sum of the probabilities deviates from 1 by .* store log_softmax"
    ):
        cached_scores(tmp_path)
