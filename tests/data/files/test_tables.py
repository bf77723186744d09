"""Parquet files of users and of data folders: what passes, and what is said of what does not."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import raybayes.data as data
from raybayes.data.files.tables import conform
from raybayes.data.records import Column
from raybayes.errors import DataError

COLUMNS = (
    Column("label", pa.int8(), "class 0..9"),
    Column("image", pa.binary(2), "pixels"),
    Column("text", pa.string(), "words", nullable=True),
    Column("values", pa.list_(pa.float32(), 2), "features"),
)
GOOD = {"label": [1, 2], "image": [b"ab", b"cd"], "text": ["x", None], "values": [[0.0, 1.0], [2.0, 3.0]]}


def write(path: Path, columns: dict) -> str:
    pq.write_table(pa.table(columns), path)
    return str(path)


def test_wider_types_dictionaries_and_integers_for_floats_pass():
    table = pa.table(
        {
            "extra": [0, 0],
            "values": pa.array([[0, 1], [2, 3]], pa.large_list(pa.int64())),
            "text": pa.array(["x", None]).dictionary_encode(),
            "image": pa.array([b"ab", b"cd"], pa.large_binary()),
            "label": pa.array([1, 2], pa.int64()),
        }
    )
    found = conform(table, COLUMNS, "f.parquet")
    assert found.to_pydict() == GOOD
    assert found.schema.types == [column.type for column in COLUMNS]


def test_a_column_of_nothing_passes_where_cells_may_be_empty():
    table = pa.table({**GOOD, "text": pa.nulls(2)})
    assert conform(table, COLUMNS, "f.parquet")["text"].to_pylist() == [None, None]


def test_a_missing_column_is_named_with_all_found_and_wanted():
    with pytest.raises(DataError) as caught:
        conform(pa.table({"lable": [1], "image": [b"ab"]}), COLUMNS, "f.parquet")
    assert str(caught.value) == (
        "f.parquet: column 'label' is missing; found lable, image; wanted label (int8), image (fixed_size_binary[2]), "
        "text (string), values (fixed_size_list<item: float>[2])."
    )


def test_a_column_that_occurs_twice_is_named():
    table = pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["label", "label"])
    with pytest.raises(DataError, match=r"f\.parquet: column 'label' occurs 2 times; found label, label"):
        conform(table, COLUMNS, "f.parquet")


@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("label", ["1", "2"], r"column 'label' has type string, wanted int8; write it as int8 \(class 0\.\.9\)"),
        ("label", [1.0, 2.0], r"column 'label' has type double, wanted int8"),
        (
            "label",
            [1, 300],
            r"column 'label' has type int64, wanted int8 \(Integer value 300 not in range: -128 to 127\)",
        ),
        ("label", [True, False], r"column 'label' has type bool, wanted int8"),
        ("image", [b"ab", b"c"], r"column 'image' has type binary, wanted fixed_size_binary\[2\] \(.*\)"),
        ("text", [1, 2], r"column 'text' has type int64, wanted string"),
        (
            "values",
            [[1.0], [2.0]],
            r"column 'values' has type list<.*>, wanted fixed_size_list<item: float>\[2\] \(.*\)",
        ),
        (
            "label",
            [1, None],
            r"column 'label' has 1 empty cells \(the first in row 1\); every row needs a value \(class",
        ),
        (
            "values",
            [[1.0, None], [2.0, 3.0]],
            r"column 'values' has 1 empty values inside its lists; fill or drop them",
        ),
    ],
)
def test_a_wrong_type_names_file_column_found_and_wanted(name, values, message):
    with pytest.raises(DataError, match=r"^f\.parquet: " + message):
        conform(pa.table({**GOOD, name: values}), COLUMNS, "f.parquet")


def test_a_file_without_a_declared_column_is_refused_on_load(cache, tmp_path):
    (tmp_path / "tsp").mkdir()
    path = write(tmp_path / "tsp" / "tsplib_small.parquet", {"name": ["a"], "length": [3]})
    with pytest.raises(DataError, match=rf"^{path}: column 'cities' is missing; found name, length; wanted name"):
        data.load("tsp", str(tmp_path))


def test_a_file_without_a_declared_split_is_refused_on_load(cache, tmp_path):
    (tmp_path / "ltr").mkdir()
    path = write(
        tmp_path / "ltr" / "yahoo_sample.parquet",
        {
            "split": ["train"],
            "query_id": [0],
            "relevance": [1],
            "features": [[0.0] * 300],
        },
    )
    with pytest.raises(DataError, match=rf"^{path}: split 'test' is missing; found train\."):
        data.load("ltr", str(tmp_path))


def test_your_own_file_comes_whole(tmp_path):
    path = write(tmp_path / "own.parquet", {"x": [1, 2, 3]})
    assert {split: table.to_pydict() for split, table in data.load(path).items()} == {"all": {"x": [1, 2, 3]}}
    assert data.origin(path).folder == tmp_path


def test_your_own_file_is_split_by_its_column(tmp_path):
    path = write(tmp_path / "own.parquet", {"split": ["val", "train", "val"], "x": [1, 2, 3]})
    tables = data.load(path)
    assert list(tables) == ["val", "train"]
    assert {split: table.to_pydict() for split, table in tables.items()} == {"val": {"x": [1, 3]}, "train": {"x": [2]}}


def test_your_own_file_may_lie_in_the_working_or_the_data_folder(tmp_path, monkeypatch):
    write(tmp_path / "own.parquet", {"x": [1]})
    assert data.load("own.parquet", str(tmp_path))["all"].num_rows == 1
    monkeypatch.chdir(tmp_path)
    assert data.load("own.parquet")["all"].num_rows == 1


def test_a_folder_named_like_a_partition_adds_no_column(tmp_path):
    (tmp_path / "run=3").mkdir()
    path = write(tmp_path / "run=3" / "own.parquet", {"x": [1]})
    assert data.load(path)["all"].column_names == ["x"]


def test_your_own_file_that_is_not_there(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError) as caught:
        data.load("own.parquet", "/data")
    assert str(caught.value) == (
        f"{tmp_path}/own.parquet or /data/own.parquet does not exist; give the path of an existing file."
    )


def test_your_own_file_that_is_no_parquet(tmp_path):
    (tmp_path / "own.parquet").write_text("a,b\n1,2\n")
    with pytest.raises(DataError, match=rf"^{tmp_path}/own\.parquet: cannot be read as Parquet \(.+\); replace the"):
        data.load(str(tmp_path / "own.parquet"))


def test_a_file_that_is_cut_short(tmp_path):
    path = Path(write(tmp_path / "own.parquet", {"x": list(range(1000))}))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        data.load(str(path))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ([0, 1], "column 'split' has type int64, wanted string"),
        (["train", None], "column 'split' has 1 empty cells"),
    ],
)
def test_a_split_column_must_hold_names(tmp_path, values, message):
    path = write(tmp_path / "own.parquet", {"split": values, "x": [1, 2]})
    with pytest.raises(DataError, match=message):
        data.load(path)
