"""Checking says what lies on the disk, and what of it is not as it should be."""

from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import raybayes.data as data
from raybayes.data.files.sachs import EDGES
from raybayes.data.registry.catalogue import DATA_SETS


def test_check_tells_another_encoding_from_other_rows(cache, tmp_path):
    sample = data.describe("tsp-sample")
    (tmp_path / "tsp").mkdir()
    path = tmp_path / "tsp" / "tsplib_small.parquet"
    whole = replace(data.describe("tsp"), splits=sample.splits, fingerprint=sample.fingerprint)
    table = data.load("tsp-sample")["all"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DATA_SETS, "tsp", whole)
        pq.write_table(table, path, compression="none")
        same = data.check("tsp", str(tmp_path))
        assert (same.ok, same.files[0].as_published) == (True, False)
        optimum = table.schema.get_field_index("optimum")
        pq.write_table(table.set_column(optimum, "optimum", pa.array([1, 2, 3])), path)
        other = data.check("tsp", str(tmp_path))
    assert other.problems == (
        f"the rows of 'tsp' are not those published: fingerprint {other.fingerprint[:16]}, "
        f"wanted {sample.fingerprint[:16]} (changed: {path}).",
    )


def test_check_of_a_file_that_does_not_load_says_why(cache, tmp_path):
    (tmp_path / "tsp").mkdir()
    path = tmp_path / "tsp" / "tsplib_small.parquet"
    pq.write_table(pa.table({"name": ["a"]}), path)
    result = data.check("tsp", str(tmp_path))
    assert not result.ok
    assert result.problems[0].startswith(f"{path}: column 'cities' is missing; found name; wanted name (string)")
    assert (result.rows, result.columns, result.fingerprint) == ({}, {}, "")
    assert (result.files[0].path, result.files[0].as_published, result.size_bytes) == (path, False, path.stat().st_size)


def test_check_of_your_own_file_sums_it_up(tmp_path):
    path = tmp_path / "own.parquet"
    pq.write_table(pa.table({"split": ["a", "b"], "x": [1, 2]}), path)
    result = data.check(str(path))
    assert (result.ok, result.rows, result.columns) == (True, {"a": 1, "b": 1}, {"x": "int64"})
    assert result.files[0].as_published is None
    assert result.fingerprint == data.fingerprint(data.load(str(path)))


def test_check_notices_a_changed_graph_that_no_row_shows(cache, tmp_path):
    sample = data.load("sachs-sample")["all"]
    (tmp_path / "sachs").mkdir()
    pq.write_table(sample, tmp_path / "sachs" / "sachs.parquet")
    edges = "source,target,reported17,consensus20,cmu19,cdt18\nraf,mek,True,True,False,False\n"
    (tmp_path / "sachs" / EDGES).write_text(edges)
    whole = replace(data.describe("sachs"), splits={"all": 853}, fingerprint=data.fingerprint({"all": sample}))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(DATA_SETS, "sachs", whole)
        result = data.check("sachs", str(tmp_path))
        cells = data.load("sachs", str(tmp_path))["all"]
    assert result.problems == (f"{tmp_path}/sachs/{EDGES} is not the published file; replace it.",)
    assert data.edges(cells, "consensus20") == (("raf", "mek"),)
    assert data.edges(cells, "cdt18") == ()
