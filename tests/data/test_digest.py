"""The fingerprint is equal for equal content, however stored, and differs for any other content."""

import hashlib
import itertools
import struct

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from raybayes.data import fingerprint
from raybayes.errors import DataError

BOX = pa.struct({"class": pa.string(), "x0": pa.float32()})
SCHEMA = pa.schema(
    {
        "word": pa.string(),
        "flag": pa.bool_(),
        "number": pa.int16(),
        "letters": pa.list_(pa.int8()),
        "boxes": pa.list_(BOX),
        "pair": pa.list_(pa.float32(), 2),
        "raw": pa.binary(3),
    }
)
BOX_CELL = st.fixed_dictionaries({"class": st.sampled_from("ab"), "x0": st.sampled_from([0.0, 1.5])})
CELL = {
    "word": st.text("aé", max_size=3) | st.none(),
    "flag": st.booleans() | st.none(),
    "number": st.integers(-3, 3) | st.none(),
    "letters": st.lists(st.integers(0, 2) | st.none(), max_size=3) | st.none(),
    "boxes": st.lists(BOX_CELL | st.none(), max_size=2) | st.none(),
    "pair": st.lists(st.sampled_from([0.0, 0.5]), min_size=2, max_size=2) | st.none(),
    "raw": st.binary(min_size=3, max_size=3) | st.none(),
}
ROWS = st.lists(st.fixed_dictionaries(CELL), max_size=5)


def in_chunks(rows: list[dict], cuts: list[int]) -> pa.Table:
    """The rows as a table of slices, each cut from a longer array so that offsets are not zero."""
    bounds = [0, *sorted(cut % (len(rows) + 1) for cut in cuts), len(rows)]
    filler = {"word": "zz", "flag": True, "number": 9, "letters": [7], "boxes": [], "pair": [1.0, 1.0], "raw": b"zzz"}
    parts = [
        pa.Table.from_pylist([filler, *rows[low:high], filler], SCHEMA).slice(1, high - low)
        for low, high in itertools.pairwise(bounds)
    ]
    return pa.concat_tables(parts)


@given(ROWS, st.lists(st.integers(0, 5), max_size=3))
def test_chunks_slices_and_encodings_do_not_matter(rows, cuts):
    plain = pa.Table.from_pylist(rows, SCHEMA)
    stored = in_chunks(rows, cuts)
    words = stored.schema.get_field_index("word")
    stored = stored.set_column(words, "word", stored["word"].cast(pa.large_string()).dictionary_encode())
    stored = stored.replace_schema_metadata({"written by": "someone"})
    assert fingerprint({"all": plain}) == fingerprint({"all": stored})


@given(ROWS, ROWS)
def test_it_is_equal_exactly_when_the_values_are(rows, others):
    left, right = (pa.Table.from_pylist(some, SCHEMA) for some in (rows, others))
    assert (fingerprint({"all": left}) == fingerprint({"all": right})) == (left.to_pylist() == right.to_pylist())


def test_hidden_bytes_under_an_empty_cell_do_not_matter():
    present = pa.py_buffer(bytes([0b101]))
    left, right = (
        pa.Array.from_buffers(pa.int64(), 3, [present, pa.py_buffer(np.array([1, hidden, 3]))]) for hidden in (2, 5)
    )
    assert left.to_pylist() == right.to_pylist() == [1, None, 3]
    assert left.buffers()[1] != right.buffers()[1]
    assert fingerprint({"all": pa.table({"x": left})}) == fingerprint({"all": pa.table({"x": right})})


@pytest.mark.parametrize(
    "other",
    [
        {"all": pa.table({"x": [1, 2], "y": ["a", "b"]})},
        {"train": pa.table({"y": ["a", "b"], "x": [1, 2]})},
        {"all": pa.table({"y": ["a", "b"], "z": [1, 2]})},
        {"all": pa.table({"y": ["b", "a"], "x": [2, 1]})},
        {"all": pa.table({"y": ["a", "b"], "x": pa.array([1, 2], pa.int8())})},
        {"all": pa.table({"y": ["ab", ""], "x": [1, 2]})},
        {"all": pa.table({"y": ["a", "b"], "x": [1, 2]}), "test": pa.table({"x": [1]})},
    ],
)
def test_names_order_types_and_splits_count(other):
    assert fingerprint({"all": pa.table({"y": ["a", "b"], "x": [1, 2]})}) != fingerprint(other)


def test_the_order_of_splits_in_the_dictionary_does_not_count():
    tables = {"train": pa.table({"x": [1]}), "test": pa.table({"x": [2]})}
    assert fingerprint(tables) == fingerprint(dict(reversed(tables.items())))


def test_a_table_without_chunks_equals_an_empty_one():
    empty = pa.table({"x": pa.chunked_array([], pa.int32())})
    assert fingerprint({"all": empty}) == fingerprint({"all": pa.table({"x": pa.array([], pa.int32())})})


def test_the_sum_by_hand():
    """What is written down, so that a fingerprint in an old result can always be recomputed."""
    values = hashlib.sha256(struct.pack("<3h", 5, -1, 7)).hexdigest()
    present = hashlib.sha256(bytes([1, 1, 1])).hexdigest()
    text = f"split 'all' rows 3\ncolumn 'x' int16\nx present {present}\nx values {values}\n"
    table = pa.table({"x": pa.array([5, -1, 7], pa.int16())})
    assert fingerprint({"all": table}) == hashlib.sha256(text.encode()).hexdigest()


def test_a_type_without_a_fingerprint_is_named():
    table = pa.table({"m": pa.array([[("a", 1)]], pa.map_(pa.string(), pa.int8()))})
    with pytest.raises(DataError, match=r"column 'm' has type map.* which has no fingerprint; store it as numbers"):
        fingerprint({"all": table})
