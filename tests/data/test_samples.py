"""The embedded samples are what the catalogue says, and have the columns of their full sets."""

import doctest
import hashlib
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import raybayes.data as data
from raybayes.data.places import SAMPLES
from raybayes.errors import DataError

SAMPLE_NAMES = [name for name in data.names() if data.describe(name).embedded]

pytestmark = pytest.mark.usefixtures("cache")


def test_the_names_are_those_promised():
    assert set(data.names()) == {
        "mnist",
        "cifar10",
        "cifar10-lossless",
        "cifar10-original",
        "cifar100",
        "imagenet",
        "letters",
        "spelling",
        "multi30k",
        "sachs",
        "tsp",
        "ltr",
        "oneshot-cards",
        "oneshot-logos",
        "shelf-demo",
        "mnist-sample",
        "cifar10-sample",
        "letters-sample",
        "spelling-sample",
        "multi30k-sample",
        "sachs-sample",
        "tsp-sample",
        "ltr-sample",
        "oneshot-sample",
        "grocery-sample",
    }


@pytest.mark.parametrize("name", SAMPLE_NAMES)
def test_a_sample_loads_with_its_declared_rows_and_columns(name):
    dataset, tables = data.describe(name), data.load(name)
    assert {split: table.num_rows for split, table in tables.items()} == dataset.splits
    for table in tables.values():
        declared = {column.name: (column.type, column.nullable) for column in dataset.columns}
        assert {field.name: (field.type, field.nullable) for field in table.schema} == declared
        assert list(declared) == table.column_names
        table.validate(full=True)
    assert data.fingerprint(tables) == dataset.fingerprint


@pytest.mark.parametrize("name", SAMPLE_NAMES)
def test_a_sample_checks_and_stays_small(name):
    result = data.check(name)
    assert result.ok, result.problems
    assert all(file.as_published for file in result.files)
    assert 0 < result.size_bytes < 1.5e6
    assert str(result.origin) == "embedded"


def test_every_embedded_file_is_declared_and_its_licence_written_down():
    files = {path.name for path in SAMPLES.glob("*.parquet")}
    assert files == {file.path for name in SAMPLE_NAMES for file in data.describe(name).files}
    licences = (SAMPLES / "LICENCES.md").read_text()
    assert all(f"`{name}" in licences for name in files | set(SAMPLE_NAMES))


def test_declared_sizes_and_sums_are_those_of_the_files():
    for name in SAMPLE_NAMES:
        for file in data.describe(name).files:
            content = (SAMPLES / file.path).read_bytes()
            assert (len(content), hashlib.sha256(content).hexdigest()) == (file.size_bytes, file.sha256)


@pytest.mark.parametrize("name", [name for name in data.names() if data.describe(name).sample])
def test_a_sample_has_the_columns_and_pixels_of_its_full_set(name):
    full, sample = data.describe(name), data.describe(data.describe(name).sample)
    pictures = {"jpeg", "png", "image"}
    assert [c for c in full.columns if c.name not in pictures] == [c for c in sample.columns if c.name not in pictures]
    if name not in ("cifar10-lossless", "cifar10-original"):  # whose sample is lossy
        assert full.columns == sample.columns
    assert (full.pixels, full.classes) == (sample.pixels, sample.classes)
    assert set(sample.splits) <= set(full.splits) or sample.name == "oneshot-sample"


def test_digits_are_balanced():
    for split, each in (("train", 200), ("test", 100)):
        assert Counter(data.load("mnist-sample")[split]["label"].to_pylist()) == dict.fromkeys(range(10), each)


def test_classes_are_named_in_the_metadata():
    names = data.load("cifar10-sample")["test"].schema.metadata[b"classes"].decode().split(",")
    assert (len(names), names[0], names[9]) == (10, "airplane", "truck")


def test_letters_unpack_to_pictures_of_their_length():
    for row in data.load("letters-sample")["all"].slice(0, 50).to_pylist():
        pictures = np.unpackbits(np.frombuffer(row["images"], np.uint8)).reshape(-1, 16, 8)
        assert len(pictures) == len(row["word"]) == len(row["letters"])
        assert "".join(chr(97 + letter) for letter in row["letters"]) == row["word"]


def test_tours_reach_the_listed_optimum():
    for row in data.load("tsp-sample")["all"].to_pylist():
        distance = np.array(row["distance"]).reshape(row["cities"], row["cities"])
        tour = row["tour"]
        assert sorted(tour) == list(range(row["cities"]))
        assert distance[tour, np.roll(tour, -1)].sum() == row["optimum"]


def test_queries_of_the_two_splits_are_apart():
    tables = data.load("ltr-sample")
    queries = {split: set(table["query_id"].to_pylist()) for split, table in tables.items()}
    assert {split: len(found) for split, found in queries.items()} == {"train": 60, "test": 20}
    assert not queries["train"] & queries["test"]


def test_no_correct_word_crosses_the_splits_of_spelling():
    words = [set(table["correct"].to_pylist()) for table in data.load("spelling-sample").values()]
    assert len(set.union(*words)) == sum(map(len, words))


def test_the_observational_cells_carry_their_graphs():
    cells = data.load("sachs-sample")["all"]
    assert set(cells["file"].to_pylist()) == {1}
    assert set(cells["condition"].to_pylist()) == {"cd3cd28"}
    proteins = cells.column_names[2:]
    for graph, count in (("reported17", 17), ("consensus20", 20)):
        found = data.edges(cells, graph)
        assert len(found) == count == len(json.loads(cells.schema.metadata[graph.encode()]))
        assert {protein for edge in found for protein in edge} <= set(proteins)
    with pytest.raises(DataError, match=r"this table has no graph 'cdt18'; valid graphs: reported17, consensus20\."):
        data.edges(cells, "cdt18")
    with pytest.raises(DataError, match=r"this table has no graph 'reported17'; valid graphs: none\."):
        data.edges(pa.table({"x": [1]}), "reported17")


def test_boxes_lie_in_their_images_and_templates_know_their_role():
    rows = [row for table in data.load("oneshot-sample").values() for row in table.to_pylist()]
    roles = {(row["set"], row["class"]): row["role"] for row in rows if row["kind"] == "template"}
    for row in rows:
        assert (row["role"] is None) == (row["kind"] == "image")
        for box in row["boxes"]:
            assert 0 <= box["x0"] < box["x1"] <= row["width"]
            assert 0 <= box["y0"] < box["y1"] <= row["height"]
            assert roles[row["set"], box["class"]] in ("base", "novel")


def test_the_shelf_photo_is_the_same_in_both_sets():
    sample = data.load("oneshot-sample")["test"]
    assert data.load("shelf-demo")["test"].equals(sample.filter(pc.equal(sample["set"], "shelf")))
    assert Path(data.origin("shelf-demo").files["oneshot.parquet"]).parent == SAMPLES


def test_an_unknown_name_lists_all_names_and_the_nearest():
    with pytest.raises(
        DataError, match=r"unknown data set 'minst-sample'; did you mean 'mnist-sample'\? Valid .* A name"
    ) as caught:
        data.load("minst-sample")
    assert all(name in str(caught.value) for name in data.names())


def test_tables_come_without_torch():
    code = (
        "import sys, raybayes.data as data; data.load('tsp-sample'); data.listing(); "
        "print([name for name in ('torch', 'torchvision', 'ray', 'optuna', 'PIL') if name in sys.modules])"
    )
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[]"


def test_the_examples_of_the_page_are_true():
    page = Path(__file__).parents[2] / "docs" / "data.md"
    failed, tried = doctest.testfile(str(page), module_relative=False)
    assert (failed, tried > 5) == (0, True)
