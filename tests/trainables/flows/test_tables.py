"""A user's table as it is: splits, labels of any kind, columns that are used and columns that are not."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import raybayes as rb
from raybayes.cli.main import main
from raybayes.errors import DataError
from trainables.flows import Config
from trainables.flows.data.columns import Feature
from trainables.flows.data.examples import fresh, said
from trainables.flows.data.files import own_examples
from trainables.flows.data.naming import class_numbers

CPU = torch.device("cpu")
CENTRES = np.array([[2.0, 0], [0, 2.0], [-2.0, -2.0]])


def blobs(n, seed=0):
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    x = CENTRES[labels] + 0.5 * generator.normal(size=(n, 2))
    return {"f0": x[:, 0], "f1": x[:, 1]}, labels


def own(values=None, **columns):
    return Config(dataset="mine.parquet", **(values or {})), {"all": pa.table(columns)}


def splits(**sizes):
    tables = {}
    for seed, (name, n) in enumerate(sizes.items()):
        x, labels = blobs(n, seed)
        label = [None] * n if name in ("unlabelled", "extra") else [int(y) for y in labels]
        tables[name] = pa.table({**x, "label": pa.array(label, pa.float64())})
    return tables


@pytest.mark.parametrize("others", [{"unlabelled": 130, "validation": 20}, {"extra": 130, "val": 20}])
def test_every_split_of_a_file_is_used_for_what_it_is(others):
    config, tables = Config(dataset="mine.parquet"), splits(train=30, **others, test=40)
    data = fresh(config, tables, CPU)
    assert [len(part) for part in (data.labelled, data.unlabelled, data.val, data.test)] == [30, 130, 20, 40]
    assert (data.train.labels[data.unlabelled] == -1).all()
    assert said(data)[0] == "30 labelled and 130 unlabelled examples train, 20 validate, 40 test"
    few = fresh(Config(dataset="mine.parquet", labels=6), tables, CPU)
    assert (len(few.labelled), len(few.unlabelled)) == (6, 154), "what is left of train trains without labels"


def test_labels_of_unlabelled_rows_are_hidden_and_said():
    tables = splits(train=30, unlabelled=9, test=30)
    tables["unlabelled"] = tables["train"].slice(0, 9)
    data = fresh(Config(dataset="mine.parquet"), tables, CPU)
    assert "9 rows of the split unlabelled have a label, which is not used" in data.notes


def test_a_split_of_another_name_is_refused_by_name():
    with pytest.raises(DataError, match=r"found split 'holdout'; rename it to train, unlabelled \(or extra\)"):
        own_examples(Config(dataset="mine.parquet"), splits(train=30, holdout=20))
    with pytest.raises(DataError, match="found splits test; training needs rows of split train"):
        own_examples(Config(dataset="mine.parquet"), splits(test=30))


def test_no_validation_scores_the_labelled_rows_and_says_so():
    data = fresh(Config(dataset="mine.parquet", validation=0), splits(train=30, extra=30, test=10), CPU)
    assert torch.equal(data.val.x, data.train.x[data.labelled])
    assert any(note.startswith("no example validates") for note in data.notes)


@pytest.mark.parametrize(
    ("labels", "numbers", "names"),
    [
        (pa.array([0.0, 2.0, float("nan"), 1.0]), [0, 2, -1, 1], ("0", "1", "2")),
        (pa.array([3, None, 7]), [0, -1, 1], ("3", "7")),
        (pa.array([True, False, None]), [1, 0, -1], ("false", "true")),
        (pa.array(["rose", "", "iris", None]), [1, -1, 0, -1], ("iris", "rose")),
        (pa.array(["b", "a", None]).dictionary_encode(), [1, 0, -1], ("a", "b")),
    ],
)
def test_labels_are_read_as_they_are_written(labels, numbers, names):
    (found,), known = class_numbers([pa.chunked_array([labels])], None, "mine")
    assert (found.tolist(), known) == (numbers, names)


@pytest.mark.parametrize(
    ("labels", "classes", "words"),
    [
        (pa.array([0.0, 1.5]), None, "row 1 has label 1.5; labels must be whole numbers, words"),
        (pa.array([0.0, -1.0]), None, "found label -1; labels must be 0 or more; an empty cell means no label"),
        (pa.array([None, None]), None, "column 'label' is empty in every row"),
        (pa.array(["a", "b"]), 3, "classes = 3, but the labels are a, b"),
        (pa.array([[1], [2]]), None, "column 'label' has type list"),
    ],
)
def test_labels_that_mean_nothing_are_refused(labels, classes, words):
    with pytest.raises(DataError, match=words):
        class_numbers([pa.chunked_array([labels])], classes, "mine")


def mixed(n=60):
    x, labels = blobs(n)
    town = ["north", "south", "east"] * (n // 3)
    return {"id": np.arange(n), **x, "smoker": np.arange(n) % 2 == 0, "town": town, "label": labels}


def test_columns_are_chosen_and_each_other_one_has_a_reason():
    found = own_examples(*own(**mixed()))
    assert [feature.name for feature in found.features] == ["f0", "f1", "smoker"]
    assert found.dropped == {"id": "a running number; columns takes it as a number",
                             "town": "text; columns takes it one-hot"}  # fmt: skip
    assert set(found.train[0][:, 2].tolist()) == {0.0, 1.0}
    chosen = own_examples(*own({"columns": "id, town"}, **mixed()))
    assert chosen.train[0].shape[1] == 4
    assert (chosen.train[0][:, 1:].sum(1) == 1).all(), "one-hot"
    assert chosen.features[1] == Feature("town", "one-hot", 3, ("east", "north", "south"))
    without = own_examples(*own({"ignore": ("smoker",)}, **mixed()))
    assert [feature.name for feature in without.features] == ["f0", "f1"]
    assert without.dropped["smoker"] == "ignored"


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"columns": ("f9",)}, "columns names 'f9', which is not a column; found id, f0, f1, smoker, town"),
        ({"ignore": ("f9",)}, "ignore names 'f9'"),
        ({"columns": ("f0", "f1"), "ignore": ("f1",)}, "'f1' is in columns and in ignore"),
        ({"columns": ("f0", "f0")}, "names 'f0' twice"),
        ({"input_noise": 0.0}, "column 'smoker' takes few values, so without noise its density has no maximum"),
        ({"labelled_rows": "gone.txt"}, "gone.txt is neither a file nor a column"),
        ({"labelled_rows": "town"}, "column 'town' of type string; it must hold true or false"),
        ({"prior": "given", "prior_given": (0.5, 0.5)}, r"prior_given has 2 values; the classes are 0, 1, 2"),
    ],
)
def test_a_wrong_choice_of_columns_is_refused(values, words):
    config, tables = own({"labels": 6, **values} if "labelled_rows" not in values else values, **mixed())
    with pytest.raises(DataError, match=words):
        fresh(config, tables, CPU).log_prior(config)


def test_a_column_without_a_density_is_named():
    columns = mixed()
    columns["f1"] = np.full(60, 4.0)
    with pytest.raises(DataError, match=r"column\(s\) f1 are constant"):
        fresh(*own(**columns), CPU)
    columns["f1"] = np.where(np.arange(60) == 7, np.inf, 1.0)
    with pytest.raises(DataError, match="row 7, column 'f1' is inf; values must be finite"):
        fresh(*own(**columns), CPU)


@pytest.mark.parametrize("kind", ["text", "npz", "column"])
def test_the_user_names_the_labelled_rows(kind, tmp_path):
    tables = splits(train=60, test=30)
    rows = [0, 1, 5, 10]
    where = str(tmp_path / {"text": "rows.txt", "npz": "rows.npz", "column": "x"}[kind])
    if kind == "text":
        (tmp_path / "rows.txt").write_text("10 5\n1, 0")
    elif kind == "npz":
        np.savez(where, labeled_indices=np.array(rows))
    else:
        where = "mine"
        tables = {name: table.append_column("mine", pa.array(np.isin(np.arange(len(table)), rows)))
                  for name, table in tables.items()}  # fmt: skip
    data = fresh(Config(dataset="mine.parquet", labelled_rows=where, validation=10), tables, CPU)
    raw = tables["train"].select(["f0", "f1"]).to_pandas().to_numpy(np.float32)
    found = {tuple(row) for row in data.train.raw[data.labelled].tolist()}
    assert found == {tuple(row) for row in raw[rows].tolist()}
    assert len(data.labelled) == 4
    assert len(data.val) == 10


@pytest.mark.parametrize(("text", "words"), [("0 60", r"row 60 does not exist; the 60 training rows"),
                                             ("1 1", "row 1 occurs twice"),
                                             ("1.5", "1.5 is not a row number"),
                                             ("a b", "row numbers cannot be read")])  # fmt: skip
def test_a_wrong_file_of_row_numbers_is_refused(text, words, tmp_path):
    (tmp_path / "rows.txt").write_text(text)
    config = Config(dataset="mine.parquet", labelled_rows=str(tmp_path / "rows.txt"))
    with pytest.raises(DataError, match=words):
        fresh(config, splits(train=60, test=30), CPU)


def test_balanced_labels_of_unequal_classes_are_said():
    x, labels = blobs(90)
    kept = (labels != 2) | (np.arange(90) < 20)
    columns = {name: column[kept] for name, column in x.items()}
    config, tables = own({"labels": 6}, **columns, label=labels[kept])
    (sentence,) = [note for note in fresh(config, tables, CPU).notes if "p(y) is uniform" in note]
    assert "set prior = given" in sentence
    config, tables = own({"labels": 6, "prior": "given", "prior_given": "0.45,0.45,0.1"}, **columns, label=labels[kept])
    data = fresh(config, tables, CPU)
    assert not [note for note in data.notes if "p(y) is uniform" in note]
    assert data.log_prior(config).exp().tolist() == pytest.approx([0.45, 0.45, 0.1])


def test_a_table_with_words_for_labels_keeps_them_in_what_a_run_leaves(tmp_path, capsys):
    x, labels = blobs(90)
    words = np.array(["setosa", "virginica", "versicolor"])[labels]
    pq.write_table(pa.table({"number": np.arange(90), **x, "label": words}), tmp_path / "mine.parquet")
    settings = ["labels=9", "steps=20", "warmup=0", "reports=2", "batch=24", "trunk.width=8", "head.width=8"]
    flags = [word for one in (f"dataset={tmp_path / 'mine.parquet'}", *settings) for word in ("-s", one)]
    assert main(["train", "flows", "--local", "--storage", str(tmp_path), "--name", "run", *flags]) == 0
    assert "column number is not used: a running number" in capsys.readouterr().err.replace("\n", " ")
    found = rb.open_sweep(str(tmp_path / "run"))
    assert set(found.table("samples")["label_name"].to_pylist()) == {"setosa", "virginica", "versicolor"}
    tables = found.findings().tables["What the data were used for"].to_pylist()
    assert {"what": "column", "name": "f0", "use": "used: number"} in tables
    assert {"what": "examples", "name": "labelled", "use": "9 train"} in tables
