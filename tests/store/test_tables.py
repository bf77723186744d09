import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from raybayes.errors import StoreError
from raybayes.store.tables import list_tables, read_table, save_table
from raybayes.store.trials import read_trials, write_trials


def members(*values):
    return pa.table({"member": list(range(len(values))), "p": list(values)})


def test_parts_of_all_trials_become_one_table(anywhere):
    save_table(anywhere, "members", "rank-1", 12, 0, members(0.5))
    save_table(anywhere, "members", "rank-0", 12, 0, members(0.25, 0.75))
    save_table(anywhere, "members", "rank-0", 3, 1, members(0.125))
    table = read_table(anywhere, "members")
    assert table.schema.names == ["trial", "repeat", "part", "member", "p"]
    assert table.to_pydict() == {
        "trial": [3, 12, 12, 12],
        "repeat": [1, 0, 0, 0],
        "part": ["rank-0", "rank-0", "rank-0", "rank-1"],
        "member": [0, 0, 1, 0],
        "p": [0.125, 0.25, 0.75, 0.5],
    }
    assert read_table(anywhere, "members", trial=12)["p"].to_pylist() == [0.25, 0.75, 0.5]
    assert read_table(anywhere, "members", repeat=1)["trial"].to_pylist() == [3]
    assert read_table(anywhere, "members", trial=3, repeat=0).schema == table.schema
    assert len(read_table(anywhere, "members", trial=99)) == 0


def test_a_part_saved_again_replaces_the_old_one(layout):
    save_table(layout, "members", "p", 0, 0, members(0.1, 0.2))
    save_table(layout, "members", "p", 0, 0, members(0.3))
    assert read_table(layout, "members")["p"].to_pylist() == [0.3]


def test_the_folder_is_a_partitioned_data_set_for_other_tools(layout):
    save_table(layout, "members", "a", 7, 0, members(0.1))
    save_table(layout, "members", "b", 7, 1, members(0.2))
    table = ds.dataset(layout.storage.local_path(layout.table("members")), partitioning="hive").to_table()
    assert table.sort_by("p").select(["trial", "repeat", "p"]).to_pydict() == {
        "trial": [7, 7],
        "repeat": [0, 1],
        "p": [0.1, 0.2],
    }


def test_an_unknown_table_names_those_that_exist(anywhere):
    with pytest.raises(StoreError, match=r"has no table 'members'; valid tables: none\."):
        read_table(anywhere, "members")
    save_table(anywhere, "curves", "p", 0, 0, members(0.1))
    save_table(anywhere, "detections", "p", 0, 0, members(0.1))
    assert list_tables(anywhere) == ["curves", "detections"]
    with pytest.raises(StoreError, match=r"has no table '\.\./curves'; did you mean 'curves'"):
        read_table(anywhere, "../curves")


@pytest.mark.parametrize(
    ("name", "part", "message"),
    [
        ("a/b", "p", "table 'a/b': use a name of letters"),
        ("", "p", "table '': use"),
        (".hidden", "p", "table '.hidden': use"),
        ("ok", "../p", "part '../p': use"),
        ("ok", "_p", "part '_p': use"),
        ("ok", "p=1", "part 'p=1': use"),
    ],
)
def test_names_are_checked(layout, name, part, message):
    with pytest.raises(StoreError, match=message):
        save_table(layout, name, part, 0, 0, members(0.1))


def test_columns_that_reading_adds_are_refused(layout):
    with pytest.raises(StoreError, match=r"table 'ok': the column 'trial' is reserved, .*; rename"):
        save_table(layout, "ok", "p", 0, 0, pa.table({"trial": [1]}))


def test_parts_that_do_not_fit_together_are_named(layout):
    save_table(layout, "mixed", "p", 0, 0, pa.table({"x": [1.0]}))
    save_table(layout, "mixed", "p", 1, 0, pa.table({"x": ["one"]}))
    with pytest.raises(StoreError, match=r"tables/mixed: its parts have different columns .*one trial"):
        read_table(layout, "mixed")
    assert read_table(layout, "mixed", trial=1)["x"].to_pylist() == ["one"]


def test_nested_columns_and_the_authors_metadata_survive(layout):
    columns = {"logits": [[0.1, 0.2], [0.3]], "image": [b"\x00\xff", b""]}
    table = pa.table(columns).replace_schema_metadata({"classes": "10"})
    save_table(layout, "predictions", "p", 0, 0, table)
    back = read_table(layout, "predictions").drop_columns(["trial", "repeat", "part"])
    assert back.to_pydict() == columns
    assert back.schema.metadata == {b"classes": b"10"}


def test_a_table_that_parquet_cannot_hold_is_refused(layout):
    table = pa.table({"x": pa.array([], pa.struct([]))})
    with pytest.raises(StoreError, match=r"Parquet cannot hold this table .*; change the column"):
        save_table(layout, "odd", "p", 0, 0, table)
    assert list_tables(layout) == []


def test_trials_are_replaced_whole(anywhere):
    assert read_trials(anywhere) is None
    write_trials(anywhere, pa.table({"trial": [0], "state": ["RUNNING"]}))
    write_trials(anywhere, pa.table({"trial": [0, 1], "state": ["COMPLETE", "FAIL"]}))
    assert read_trials(anywhere).to_pydict() == {"trial": [0, 1], "state": ["COMPLETE", "FAIL"]}


def test_a_table_of_a_newer_schema_is_refused(layout, monkeypatch):
    monkeypatch.setattr("raybayes.store.parquet.SCHEMA", 3)
    write_trials(layout, pa.table({"trial": [0]}))
    with pytest.raises(StoreError, match=r"trials\.parquet: found schema 3, written by a newer raybayes"):
        read_trials(layout)
