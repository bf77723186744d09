"""Where full data sets are looked for, in which order, and what is said when they are not there."""

from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import raybayes.data as data
from raybayes.data.places import cache_folder
from raybayes.errors import DataError


def put_tsp(folder: Path, mark: str) -> None:
    """A file that passes as `tsp`, with one instance whose name says where it lies."""
    folder.mkdir(parents=True)
    columns = data.describe("tsp").columns
    row = {"name": mark, "cities": 1, "edge_weight_type": "GEO", "optimum": 0, "distance": [0], "tour": [0]}
    pq.write_table(
        pa.Table.from_pylist([row], pa.schema([(c.name, c.type) for c in columns])), folder / "tsplib_small.parquet"
    )


def mark(data_dir: Path | None = None) -> str:
    return data.load("tsp", None if data_dir is None else str(data_dir))["all"]["name"][0].as_py()


def test_argument_before_variable_before_cache(cache, monkeypatch, tmp_path):
    put_tsp(cache / "tsp", "cache")
    assert mark() == "cache"
    put_tsp(tmp_path / "shared" / "tsp", "variable")
    monkeypatch.setenv("RAYBAYES_DATA", str(tmp_path / "shared"))
    assert mark() == "variable"
    put_tsp(tmp_path / "mine" / "tsp", "argument")
    assert mark(tmp_path / "mine") == "argument"
    (tmp_path / "empty").mkdir()
    assert mark(tmp_path / "empty") == "variable"


def test_the_files_may_lie_in_the_place_itself(cache, tmp_path):
    put_tsp(tmp_path / "mine", "argument")
    assert mark(tmp_path / "mine") == "argument"


def test_the_cache_is_below_home_without_xdg(monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", "")
    monkeypatch.setenv("HOME", "/home/someone")
    assert cache_folder() == Path("/home/someone/.cache/raybayes/data")


def test_origin_says_where_without_reading(cache, tmp_path):
    folder = tmp_path / "mine" / "tsp"
    folder.mkdir(parents=True)
    (folder / "tsplib_small.parquet").write_bytes(b"never read")
    found = data.origin("tsp", str(tmp_path / "mine"))
    assert (found.place, found.folder) == ("--data", folder)
    assert found.files == {"tsplib_small.parquet": folder / "tsplib_small.parquet"}
    assert str(found) == f"{folder} (--data)"


def test_a_missing_set_that_can_be_fetched(cache, tmp_path):
    with pytest.raises(DataError) as caught:
        data.load("mnist", str(tmp_path))
    assert str(caught.value) == (
        f"data set 'mnist' was not found in {tmp_path} (--data), {cache} (cache, no such folder); RAYBAYES_DATA is not "
        "set; fetch it with `raybayes data fetch mnist`, or use the embedded sample 'mnist-sample'."
    )


def test_a_missing_set_that_cannot_be_fetched(cache, monkeypatch):
    monkeypatch.setenv("RAYBAYES_DATA", "/nowhere")
    with pytest.raises(DataError) as caught:
        data.load("tsp")
    assert str(caught.value) == (
        f"data set 'tsp' was not found in /nowhere (RAYBAYES_DATA, no such folder), {cache} (cache, no such folder); "
        "put tsp/tsplib_small.parquet into one of these folders (it comes from GitHub mastqe/tsplib at "
        "77554136; the optimal tours were found by local search and reach the listed optima), or use the embedded "
        "sample 'tsp-sample'."
    )


def test_an_incomplete_set_says_what_it_lacks(cache, tmp_path):
    raw = tmp_path / "mnist" / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in ("train-images-idx3-ubyte", "train-labels-idx1-ubyte.gz", "t10k-images-idx3-ubyte"):
        (raw / name).touch()
    with pytest.raises(DataError, match=r"--data, incomplete, missing MNIST/raw/t10k-labels-idx1-ubyte\)"):
        data.load("mnist", str(tmp_path))


def test_a_data_folder_that_is_none_is_an_error_even_if_the_set_lies_elsewhere(cache, tmp_path):
    put_tsp(cache / "tsp", "cache")
    for call in (data.load, data.origin, data.check):
        with pytest.raises(DataError, match=rf"--data: {tmp_path}/typo is not a folder; give an existing one"):
            call("tsp", str(tmp_path / "typo"))
    with pytest.raises(DataError, match="is not a folder"):
        data.listing(str(tmp_path / "typo"))


def test_a_sample_needs_no_folder(cache, tmp_path):
    assert data.load("tsp-sample", str(tmp_path / "typo"))["all"].num_rows == 3


def test_a_full_name_never_gives_the_sample(cache):
    for name in data.names():
        if not data.describe(name).embedded:
            with pytest.raises(DataError, match=f"data set '{name}' was not found in"):
                data.load(name)


def test_listing_says_where_each_set_is(cache, monkeypatch, tmp_path):
    put_tsp(tmp_path / "shared" / "tsp", "variable")
    monkeypatch.setenv("RAYBAYES_DATA", str(tmp_path / "shared"))
    lines = {line.name: line for line in data.listing()}
    assert set(lines) == set(data.names())
    assert lines["tsp"].where == f"{tmp_path}/shared/tsp (RAYBAYES_DATA)"
    assert (lines["mnist"].where, lines["mnist-sample"].where) == ("missing", "embedded")
    assert (lines["mnist"].rows, lines["mnist-sample"].rows) == (70_000, 3_000)
    assert all(line.size_bytes > 0 and line.licence and line.doc for line in lines.values())


def test_every_full_set_has_a_sample_of_its_own_subject():
    for name in data.names():
        dataset = data.describe(name)
        own = dataset.embedded or (dataset.sample is not None and data.describe(dataset.sample).embedded)
        assert own or name in ("cifar100", "imagenet")  # of these nothing may be shipped, or too little would say much
        assert dataset == replace(dataset)
