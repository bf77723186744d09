"""A run that works: predictions for a user's file, and new rows in its columns."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

import raybayes as rb
from raybayes.cli.main import main
from trainables.flows import load_trained
from trainables.flows.calibration import calibration_error, reliability

WORDS = np.array(["iris", "rose", "tulip"])


def table(n, seed=0):
    generator = np.random.default_rng(seed)
    labels = np.arange(n) % 3
    x = np.array([[2.0, 0], [0, 2.0], [-2.0, -2.0]])[labels] + 0.4 * generator.normal(size=(n, 2))
    town = np.array(["north", "south", "east"])[labels]
    return pa.table({"a": 10 * x[:, 0], "b": x[:, 1], "wild": labels == 0, "town": town, "label": WORDS[labels]})


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flows")
    pq.write_table(table(150), folder / "mine.parquet")
    config = {"dataset": str(folder / "mine.parquet"), "labels": 12, "columns": "a,b,wild,town", "steps": 120,
              "warmup": 0, "reports": 1, "batch": 48, "trunk.width": 16, "head.width": 16}  # fmt: skip
    return rb.train("flows", config, storage=str(folder), name="run", executor="local")


def test_predictions_are_those_of_the_flow(run, tmp_path, capsys):
    new = table(40, seed=5)
    cells = new["a"].to_pylist()
    cells[7] = 400.0  # an outlier
    pq.write_table(new.set_column(0, "a", pa.array(cells)), tmp_path / "new.parquet")
    out = ["--parquet", str(tmp_path / "scored.parquet"), "--out", str(tmp_path / "out")]
    assert main(["predict", str(tmp_path / "new.parquet"), "--run", run.path, *out]) == 0
    assert "calibration error" in capsys.readouterr().out.replace("\n", " ")
    rows = pq.read_table(tmp_path / "scored.parquet").to_pylist()
    assert len(rows) == 40
    assert min(rows, key=lambda row: row["outlier_rank"])["row"] == 7
    assert rows[7]["below"] == 0
    assert sum(row["class"] == word for row, word in zip(rows, new["label"].to_pylist(), strict=True)) > 30
    for row in rows:
        assert sum(row[f"p({word})"] for word in WORDS) == pytest.approx(1, abs=1e-5)
    trained = load_trained(run)
    raw = torch.tensor([[cells[0], new["b"][0].as_py(), 1.0, 0.0, 1.0, 0.0]])  # east, north, south
    with torch.no_grad():
        assert trained.flow.log_marginal(trained.projection(raw)).item() == pytest.approx(
            rows[0]["log_density"], rel=1e-4
        )


def test_other_columns_are_refused_by_name(run, tmp_path, capsys):
    pq.write_table(table(9).drop_columns(["b", "wild"]), tmp_path / "new.parquet")
    assert main(["predict", str(tmp_path / "new.parquet"), "--run", run.path]) == 2
    assert "column(s) b, wild are missing; found a, town, label" in capsys.readouterr().err.replace("\n", " ")
    strange = table(9).set_column(3, "town", pa.array(["west"] * 9))
    pq.write_table(strange, tmp_path / "new.parquet")
    assert main(["predict", str(tmp_path / "new.parquet"), "--run", run.path]) == 2
    assert "row 0 is 'west'; known categories: east, north, south" in capsys.readouterr().err.replace("\n", " ")
    assert main(["predict", str(tmp_path / "no.parquet"), "--run", run.path]) == 2
    assert main(["predict", "--run", run.path]) == 2
    assert "predict takes one Parquet file, found 0" in capsys.readouterr().err.replace("\n", " ")


def test_samples_are_rows_in_the_users_columns(run, tmp_path):
    out = ["--parquet", str(tmp_path / "drawn.parquet"), "--out", str(tmp_path / "out")]
    assert main(["sample", "--run", run.path, "--per-class", "20", "--seed", "1", *out]) == 0
    drawn = pq.read_table(tmp_path / "drawn.parquet")
    assert drawn.column_names == ["a", "b", "wild", "town", "label"]
    assert drawn["wild"].type == pa.bool_()
    assert set(drawn["town"].to_pylist()) <= {"north", "south", "east"}
    assert drawn["label"].to_pylist()[::20] == list(WORDS)
    means = [np.mean(drawn["a"].to_numpy()[k * 20 : k * 20 + 20]) for k in range(3)]
    assert means[0] > means[1] > means[2], "centres at 20, 0 and -20"


def test_calibration_of_a_known_table():
    confidence, right = [0.95] * 10 + [0.65] * 10, [True] * 9 + [False] + [True] * 4 + [False] * 6
    rows = reliability(confidence, right).to_pylist()
    assert [row["n"] for row in rows] == [10, 10]
    assert [row["right"] for row in rows] == pytest.approx([0.4, 0.9])
    assert calibration_error(confidence, right) == pytest.approx(0.5 * 0.25 + 0.5 * 0.05)
    assert calibration_error([1.0, 1.0], [True, True]) == 0
