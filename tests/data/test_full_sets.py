"""The full data sets, where RAYBAYES_DATA has them: they are the published ones, and the samples are cuts of them."""

import os

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import raybayes.data as data
from raybayes.data.images import images, normalise

pytestmark = pytest.mark.skipif(
    not os.environ.get("RAYBAYES_DATA"), reason="RAYBAYES_DATA is not set: there are no full data sets"
)

FULL = [name for name in data.names() if not data.describe(name).embedded]


def need(name: str) -> dict[str, pa.Table]:
    """The tables, or a skip where this machine's folder does not have the set (cifar10-original, say)."""
    if {line.name: line.where for line in data.listing()}[name] == "missing":
        pytest.skip(f"{name} is not in {os.environ['RAYBAYES_DATA']}")
    return data.load(name)


@pytest.mark.parametrize("name", FULL)
def test_a_full_set_is_the_published_one(name):
    tables = need(name)
    result = data.check(name)
    assert result.ok, result.problems
    assert all(file.as_published for file in result.files)
    declared = [(column.name, column.type, column.nullable) for column in data.describe(name).columns]
    for table in tables.values():
        assert [(field.name, field.type, field.nullable) for field in table.schema] == declared


@pytest.mark.parametrize("name", ["letters", "spelling", "multi30k", "sachs", "tsp", "cifar10", "mnist"])
def test_the_sample_is_a_cut_of_the_full_set(name):
    full, sample = need(name), data.load(data.describe(name).sample)
    for split, cut in sample.items():
        everything = {str(row) for row in full[split].to_pylist()}
        assert all(str(row) in everything for row in cut.slice(0, 300).to_pylist())


def test_digits_have_the_known_counts_mean_and_deviation():
    tables = need("mnist")
    counts = [np.bincount(tables[split]["label"].to_numpy()).tolist() for split in ("train", "test")]
    assert counts == [
        [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949],
        [980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009],
    ]
    pictures, labels = images(tables["train"], 1, 28)
    assert labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    scaled = normalise(pictures, "mnist")
    assert abs(scaled.mean()) < 1e-3
    assert abs(scaled.std() - 1) < 1e-3


def test_the_lossy_colours_differ_from_the_exact_ones_as_documented():
    exact, lossy = need("cifar10-lossless")["test"], need("cifar10")["test"]
    lossy = lossy.take(exact["index"])
    assert lossy["label"].equals(exact["label"])
    truth, _ = images(exact, 3, 32)
    pictures, _ = images(lossy, 3, 32)
    psnr = 10 * np.log10(255**2 / (pictures.double() - truth.double()).square().mean((1, 2, 3)).numpy())
    assert 30 < psnr.mean() < 31  # 30.5 over train and test together
    assert 23 < psnr.min() < psnr.max() < 40.1


def test_the_observational_cells_and_all_graphs():
    cells = need("sachs")["all"]
    observational = cells.filter(pc.equal(cells["file"], 1))
    assert observational.num_rows == 853
    assert cells.filter(pc.less_equal(cells["file"], 9)).num_rows == 7466
    graphs = {graph: data.edges(cells, graph) for graph in ("reported17", "consensus20", "cmu19", "cdt18")}
    assert {graph: len(edges) for graph, edges in graphs.items()} == {
        "reported17": 17,
        "consensus20": 20,
        "cmu19": 19,
        "cdt18": 18,
    }
    sample = data.load("sachs-sample")["all"]
    assert all(data.edges(sample, graph) == graphs[graph] for graph in ("reported17", "consensus20"))
    assert sample.drop_columns(["condition"]).equals(observational.drop_columns(["condition"]))


@pytest.mark.parametrize(
    ("name", "photos", "boxes", "templates"),
    [
        ("oneshot-cards", 363, 670, 24),
        ("oneshot-logos", 975, 1071, 120),
    ],
)
def test_boxes_and_templates_belong_to_photos_of_the_set(name, photos, boxes, templates):
    plain = {split: table.drop_columns(["jpeg"]).to_pylist() for split, table in need(name).items()}
    rows = [{**row, "split": split} for split, part in plain.items() for row in part]
    ids = {row["id"] for row in rows if row["kind"] == "image"}
    crops = [row for row in rows if row["kind"] == "template"]
    assert (len(ids), len(crops), len({row["id"] for row in crops})) == (photos, templates, templates)
    assert sum(len(row["boxes"]) for row in rows) == boxes
    roles = {row["class"]: row["role"] for row in crops}
    assert {box["class"] for row in rows for box in row["boxes"]} == set(roles)
    assert all(row["cut_from"] in ids and row["role"] for row in crops)
    queries = [row["class"] for row in rows if row["split"] == "query"]
    assert queries.count("none") == (135 if name == "oneshot-logos" else 0)
    assert set(queries) - {"none"} == (set(roles) if queries else set())
    unknown = [row["id"] for row in rows if row["kind"] == "image" and row["class"] is None and not row["boxes"]]
    assert unknown == (["2662264721"] if name == "oneshot-logos" else [])  # its only box had no area
