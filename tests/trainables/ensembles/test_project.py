"""The project as the service sees it: reports, resumption, workers, tables."""

import json
import math
import random
import re
from typing import get_args

import numpy as np
import pyarrow as pa
import pytest
import torch

from raybayes import catalog
from raybayes import data as raybayes_data
from raybayes.cli.main import main
from raybayes.contract import Metric
from raybayes.errors import DataError
from trainables.ensembles import PROJECT, Config, max_steps, train
from trainables.ensembles.architectures.dropout import set_noise
from trainables.ensembles.config import Method
from trainables.ensembles.data.images import prepare
from trainables.ensembles.methods.registry import METHODS
from trainables.ensembles.metrics.protocol import cross_validated
from trainables.ensembles.run.plan import plan
from trainables.ensembles.run.run import Run

SMALL = {"train_images": 120, "test_images": 50, "validation": 0.3, "epochs": 2, "members": 3, "batch": 32}
CASES = {
    "deep_ensemble": {"method": "deep_ensemble"},
    "single": {"method": "single"},
    "single-tta": {"method": "single", "tta": True},
    "checkpoint": {"method": "checkpoint", "epochs": 3},
    "snapshot": {"method": "snapshot", "sse": {"cycle_epochs": 2, "skip_cycles": 1}},
    "snapshot-cold": {"method": "snapshot", "sse": {"cycle_epochs": 2, "cold_restarts": True}},
    "csgld": {"method": "csgld", "csgld": {"cycle_epochs": 3, "noise_epochs": 2, "samples": 2, "momentum": 0.5}},
    "fge": {"method": "fge"},
    "swag": {"method": "swag", "swag": {"epochs": 4, "rank": 3, "collect": 2}},
    "multi-swag": {"method": "swag", "members": 4, "swag": {"epochs": 3, "start": 0.3, "rank": 2, "runs": 2}},
    "swa": {"method": "swa", "swag": {"epochs": 3}},
    "mc_dropout": {"method": "mc_dropout", "dropout": {"placement": "every", "filterwise": True}},
    "vi": {"method": "vi", "vi": {"epochs": 2, "warmup_epochs": 2, "log_sigma": -3}},
    "vi-scratch": {"method": "vi", "vi": {"init": "scratch", "epochs": 2}},
    "laplace": {"method": "laplace"},
    "laplace-diag-last": {"method": "laplace", "laplace": {"structure": "diag", "subset": "last", "scale": 1.0}},
    "last_layer": {"method": "last_layer_laplace"},
    "last_layer-probit": {"method": "last_layer_laplace", "last_layer": {"predict": "probit"}},
    "batch_ensemble": {"method": "batch_ensemble"},
    "packed-tta": {"method": "packed", "tta": True},
    "mimo": {"method": "mimo", "mimo": {"input_repetition": 0.5, "batch_repetition": 2}},
    "resnet20": {
        "dataset": "cifar10-sample",
        "arch": "resnet20",
        "train_images": 24,
        "test_images": 4,
        "members": 2,
    },
    "resnet20-swag": {
        "method": "swag",
        "arch": "resnet20",
        "train_images": 24,
        "test_images": 4,
        "members": 2,
        "swag": {"epochs": 3, "start": 0.3, "rank": 2},
    },
}


def small(case: str) -> Config:
    return Config.model_validate(SMALL | CASES[case])


def columns(tables: dict[str, pa.Table]) -> dict[str, dict]:
    return {name: table.to_pydict() for name, table in tables.items()}


@pytest.fixture(scope="module")
def whole(request):
    """Uninterrupted runs of every case, each made once."""
    done: dict = {}

    def of(case: str, perform):
        if case not in done:
            done[case] = perform(train, small(case))
        return done[case]

    return of


def test_smoke_reports_finite_declared_numbers(run_in_memory):
    config = catalog.configure(PROJECT, dict(PROJECT.smoke))
    result = run_in_memory(train, config)
    assert len(result.reports) == max_steps(config) == 6
    declared = {metric.name: metric for metric in PROJECT.metrics}
    always = {metric.name for metric in PROJECT.metrics if metric.every_report}
    for report in result.reports:
        assert always <= set(report) <= set(declared)
        assert all(math.isfinite(value) for value in report.values())
    assert set(result.reports[-1]) == set(declared)
    assert isinstance(PROJECT.metrics[0], Metric)
    assert PROJECT.metrics[0].name == "cll"


@pytest.mark.parametrize("case", CASES)
def test_every_method_makes_the_planned_reports_and_members(case, whole, run_in_memory):
    config, result = small(case), whole(case, run_in_memory)
    assert len(result.reports) == max_steps(config)
    assert [report["members"] for report in result.reports] == sorted(report["members"] for report in result.reports)
    assert result.reports[-1]["members"] == plan(config).members
    with_members = [report["members"] > 0 for report in result.reports]
    assert with_members.index(True) + 1 == plan(config).first_member
    assert result.reports[-1]["cost_epochs"] == plan(config).runs * plan(config).epochs
    names = {f"predictions/{split}-member-{k:03d}" for split in ("val", "test") for k in range(plan(config).members)}
    assert set(result.tables) == names | {"curve"}


@pytest.mark.parametrize("case", CASES)
def test_a_resumed_run_equals_an_uninterrupted_one_bit_for_bit(case, whole, run_in_memory):
    config, reference = small(case), whole(case, run_in_memory)
    last = max_steps(config)
    for cut in sorted({last // 2, last - 1} & set(range(1, last))):
        first = run_in_memory(train, config, stop_at=cut)
        second = run_in_memory(train, config, saved=first.saved)
        assert first.reports + second.reports == reference.reports, f"cut after report {cut}"
        assert columns(first.tables | second.tables) == columns(reference.tables)


@pytest.mark.parametrize(("before", "after"), [(1, 1), (2, 2), (1, 2), (2, 1), (3, 1), (3, 2)])
def test_members_do_not_depend_on_the_number_of_workers(before, after, whole, run_in_memory):
    config, reference = small("deep_ensemble"), whole("deep_ensemble", run_in_memory)
    cut = 3  # inside a round of two workers, and after one of three
    first = run_in_memory(train, config, workers=before, stop_at=cut)
    second = run_in_memory(train, config, workers=after, saved=first.saved)
    assert all(len(reports) == cut for reports in first.every)
    assert all(len(reports) == max_steps(config) - cut for reports in second.every)
    assert columns(first.tables | second.tables) == columns(reference.tables)
    assert second.reports[-1] == reference.reports[-1]


def test_what_a_checkpoint_holds_is_not_trained_again(run_in_memory, monkeypatch):
    """A worker is lost after the last checkpoint: finished members and finished epochs are kept."""
    trained, epoch_of = [], Run.train_epoch

    def counted(self, epoch):
        trained.append((self.index, epoch))
        epoch_of(self, epoch)

    monkeypatch.setattr(Run, "train_epoch", counted)
    first = run_in_memory(train, small("deep_ensemble"), workers=2, stop_at=5)  # two members, a half of the third
    assert sorted(trained) == [(0, 0), (0, 1), (1, 0), (1, 1), (2, 0)]
    trained.clear()
    run_in_memory(train, small("deep_ensemble"), saved=first.saved)
    assert trained == [(2, 1)]


def test_one_trajectory_leaves_other_workers_waiting(whole, run_in_memory, caplog):
    result = run_in_memory(train, small("snapshot"), workers=2)
    assert result.reports == whole("snapshot", run_in_memory).reports == result.every[1]
    assert "1 of 2 workers are idle" in caplog.text


def test_another_seed_gives_other_members(whole, run_in_memory):
    other = run_in_memory(train, small("single"), seed=1)
    assert other.reports[-1]["cll"] != whole("single", run_in_memory).reports[-1]["cll"]


def test_members_differ_and_single_network_stands_alone(whole, run_in_memory):
    tables = whole("deep_ensemble", run_in_memory).tables
    assert tables["predictions/val-member-000"]["lp"] != tables["predictions/val-member-001"]["lp"]
    single = whole("single", run_in_memory).tables
    assert single["predictions/val-member-000"]["lp"] == tables["predictions/val-member-000"]["lp"]


def test_global_generators_are_not_touched(run_in_memory):
    states = torch.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()
    run_in_memory(train, small("snapshot-cold"))
    assert torch.equal(states[0], torch.get_rng_state())
    assert (states[1] == np.random.get_state()[1]).all()
    assert states[2] == random.getstate()


def test_the_curve_follows_from_the_stored_members(whole, run_in_memory):
    tables = whole("deep_ensemble", run_in_memory).tables
    members = [tables[f"predictions/test-member-{k:03d}"] for k in range(3)]
    p = np.mean([np.exp(np.array(m["lp"].to_pylist(), np.float64)) for m in members], axis=0)
    result = cross_validated(np.log(p), members[0]["target"].to_numpy())
    rows = [
        row
        for row in tables["curve"].to_pylist()
        if row["n_samples"] == 3 and row["split"] == "test" and row["metric"] == "ll"
    ]
    values = {row["calibrated"]: row["value"] for row in rows}
    assert values[True] == pytest.approx(result.calibrated["ll"], abs=1e-9)
    assert values[False] == pytest.approx(result.raw["ll"], abs=1e-9)
    assert sorted(set(tables["curve"]["n_samples"].to_pylist())) == [1, 2, 3]
    a, b, c = [
        row["value"]
        for row in tables["curve"].to_pylist()
        if row["split"] == "val" and row["metric"] == "ll" and row["calibrated"]
    ]
    area = (math.log(2) * (a + b) / 2 + math.log(3 / 2) * (b + c) / 2) / math.log(3)
    assert whole("deep_ensemble", run_in_memory).reports[-1]["cll_area"] == pytest.approx(area)


def test_a_member_table_says_what_it_is(whole, run_in_memory):
    table = whole("deep_ensemble", run_in_memory).tables["predictions/val-member-001"]
    record = json.loads(table.schema.metadata[b"raybayes.member"])
    assert table.schema.field("lp").type == pa.list_(pa.float32(), 10)
    assert table.num_rows == 36
    assert record["member"] == 1
    assert record["cost_epochs"] == 2
    assert record["config"]["method"] == "deep_ensemble"
    assert len(record["targets_sha256"]) == 64
    assert record["seconds"] > 0


def test_validation_images_are_the_same_for_every_seed_and_method(whole, run_in_memory):
    other = run_in_memory(train, small("single-tta"), seed=5).tables["predictions/val-member-000"]
    assert other["index"] == whole("snapshot", run_in_memory).tables["predictions/val-member-000"]["index"]


class Quiet:
    """Enough of a context to build a run."""

    device = torch.device("cpu")

    def rng(self, name):
        return torch.Generator().manual_seed(len(name))


@pytest.mark.parametrize("case", CASES)
def test_the_gradient_reaches_every_parameter(case):
    config = small(case)
    data = prepare(config, raybayes_data.load(config.dataset), torch.device("cpu"))
    run = METHODS[config.method](config, data, Quiet(), 0)
    run.before_epoch(run.first_stage)  # of the second stage, where there are two
    set_noise(run.model, torch.Generator())
    images, labels = next(run.batches(0))
    run.loss(images, labels).backward()
    for name, parameter in run.model.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


def test_a_diverging_run_reports_nan_and_does_not_crash(run_in_memory):
    config = Config.model_validate(SMALL | {"method": "single", "lr": 10.0, "momentum": 0.99, "epochs": 30})
    result = run_in_memory(train, config)
    assert math.isnan(result.reports[-1]["cll"])


def test_too_few_images_are_refused(run_in_memory):
    with pytest.raises(DataError, match=r"validation = 0\.2 of 10 training images leaves 2 to score and 8 to train on"):
        run_in_memory(train, Config(train_images=10))
    with pytest.raises(DataError, match=r"train_images = 9999, but mnist-sample has 2000; lower it, or use 0 for all"):
        run_in_memory(train, Config(train_images=9999))
    with pytest.raises(DataError, match=r"test_images = 9999, but mnist-sample has 1000; lower it, or use 0 for all"):
        run_in_memory(train, Config(test_images=9999))


@pytest.mark.parametrize("command", [["train"], ["sweep", "--trials", "2"]])
@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("train_images=5", "validation = 0.2 of 5 training images leaves 1 to score"),
        ("train_images=2001", "train_images = 2001, but mnist-sample has 2000; lower it"),
        ("test_images=1001", "test_images = 1001, but mnist-sample has 1000; lower it"),
    ],
)
def test_image_counts_are_looked_at_before_anything_is_written(command, setting, words, tmp_path, capsys):
    options = ["-s", setting, "--storage", str(tmp_path / "runs"), "--name", "r"]
    assert main([command[0], "ensembles", *command[1:], "--local", *options]) == 2
    assert capsys.readouterr().err.count(words) == 1
    assert not (tmp_path / "runs").exists()


def test_a_class_that_is_missing_is_named(run_in_memory, caplog):
    with caplog.at_level("WARNING", logger="raybayes.test"):
        run_in_memory(train, Config.model_validate(SMALL | {"method": "single", "epochs": 1, "train_images": 12}))
    assert "contain no image of class 0, 2, " in caplog.text
    assert "the 8 training images" in caplog.text
    table = raybayes_data.load("mnist-sample")["test"]
    fewer = table.replace_schema_metadata({"classes": "0,1,2,3,4,5,6,7,8"})
    with pytest.raises(DataError, match="mnist-sample, train: found label 9, but its classes are 0 to 8"):
        prepare(Config(), {"train": fewer, "test": table}, torch.device("cpu"))


def test_both_runs_of_multi_swag_share_the_workers(whole, run_in_memory):
    reference = whole("multi-swag", run_in_memory)
    result = run_in_memory(train, small("multi-swag"), workers=2)
    assert columns(result.tables) == columns(reference.tables)
    assert result.reports[-1] == reference.reports[-1]


def test_a_data_set_without_a_test_split_is_refused():
    with pytest.raises(
        DataError, match="mnist-sample: split 'test' is missing, found train; both train and test are required"
    ):
        prepare(Config(), {"train": raybayes_data.load("mnist-sample")["train"]}, torch.device("cpu"))


IMPOSSIBLE = [
    ({"tta": True, "augment": False}, "set augment = true or tta = false"),
    ({"foreign": "mnist"}, "foreign = mnist has the same kind of images as dataset = mnist-sample"),
    ({"test_images": 3}, "test_images = 3, but cross-validation needs at least 4"),
    ({"method": "fge", "budget_epochs": 9}, "budget_epochs = 9 works only with deep_ensemble and snapshot"),
    ({"budget_epochs": 3}, "budget_epochs = 3 is less than one epoch for each of 4 trainings"),
    ({"arch": "vgg16bn"}, "needs 32 pixels, MNIST has 28; choose another arch"),
    (
        {"method": "mc_dropout", "arch": "resnet20"},
        "resnet20 has no dropout by its authors; set dropout.placement = every",
    ),
    ({"method": "mc_dropout", "arch": "resnet50"}, "resnet50 does not support dropout"),
    ({"method": "checkpoint", "members": 21}, "21 members, 1 epoch(s) apart, do not fit into epochs = 20"),
    ({"method": "csgld", "csgld": {"samples": 4}}, "samples <= noise_epochs <= cycle_epochs, found 4, 3, 8"),
    ({"method": "fge", "fge": {"cycle_epochs": 3}}, "fge.cycle_epochs = 3 is odd; members are taken in mid-cycle"),
    ({"method": "fge", "epochs": 1, "fge": {"pretrain": 0.1}}, "fge.pretrain = 0.1 of 1 epochs rounds to 0"),
    ({"method": "swag", "swag": {"epochs": 2, "start": 0.9}}, "swag.start = 0.9 of 2 epochs leaves a stage empty"),
    ({"method": "swag", "swag": {"rank": 21}}, "swag.rank = 21, but only 20 weights are collected"),
    ({"method": "swag", "swag": {"runs": 3}}, "swag.runs = 3 does not divide members = 4"),
    ({"method": "fge", "fge": {"ratio": 1.5}}, "Input should be less than 1"),
    ({"dataset": "imagenet"} | {"arch": "vgg16bn"}, "arch = vgg16bn takes images of 28 or 32 pixels"),
    ({"dataset": "imagenet", "foreign": "cifar10"}, "foreign = cifar10 has images of 28 or 32 pixels"),
    ({"dataset": "imagenet", "engine": "vmap"}, "engine = vmap needs decoded images, but imagenet stays in files"),
    ({"share": "images", "method": "mimo"}, "share = images is not possible with method = mimo"),
    ({"share": "images", "engine": "grouped"}, "share = images trains one member at a time"),
    (
        {"share": "images", "method": "swag", "reuse_pretrained": True},
        "share = images cannot store its training for reuse",
    ),
    ({"method": "vi", "wd": 0}, "wd = 0 gives none"),
    ({"method": "vi", "vi": {"warmup_epochs": 21}}, "vi.warmup_epochs = 21 is longer than vi.epochs = 20"),
    ({"method": "last_layer_laplace", "arch": "resnet50"}, "use method = laplace with laplace.subset = last"),
]


@pytest.mark.parametrize(("values", "sentence"), IMPOSSIBLE, ids=[sentence for _, sentence in IMPOSSIBLE])
def test_impossible_combinations_are_refused_in_a_sentence(values, sentence):
    with pytest.raises(ValueError, match=re.escape(sentence)):
        Config.model_validate(values)


def test_every_method_has_a_run_and_a_case():
    assert set(METHODS) == set(get_args(Method)) == {small(case).method for case in CASES}
    assert all(field.description for group in [Config] for field in group.model_fields.values())
