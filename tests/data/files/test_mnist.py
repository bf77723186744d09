"""IDX files: read against bytes that are written down here by hand."""

import gzip
import hashlib
import shutil
import struct
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import raybayes.data as data
from raybayes.data.files.mnist import read_idx
from raybayes.errors import DataError

PIXELS = {
    split: np.random.default_rng(count).integers(0, 256, (count, 28, 28), np.uint8)
    for split, count in (("train", 5), ("t10k", 3))
}
LABELS = {"train": [5, 0, 4, 1, 9], "t10k": [7, 2, 1]}


def idx(*shape: int, values: bytes) -> bytes:
    return bytes([0, 0, 8, len(shape)]) + struct.pack(f">{len(shape)}I", *shape) + values


@pytest.fixture
def raw(tmp_path) -> Path:
    """MNIST/raw of 5 + 3 images, two files gzip'd and two plain."""
    folder = tmp_path / "mnist" / "MNIST" / "raw"
    folder.mkdir(parents=True)
    for split in ("train", "t10k"):
        images = idx(*PIXELS[split].shape, values=PIXELS[split].tobytes())
        labels = idx(len(LABELS[split]), values=bytes(LABELS[split]))
        (folder / f"{split}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
        (folder / f"{split}-labels-idx1-ubyte").write_bytes(labels)
    return folder


def test_an_array_from_hand_made_bytes(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(bytes.fromhex("00 00 08 02 00000002 00000003 01 02 03 04 05 ff"))
    assert read_idx(path).tolist() == [[1, 2, 3], [4, 5, 255]]
    (tmp_path / "a.gz").write_bytes(gzip.compress(path.read_bytes()))
    assert read_idx(tmp_path / "a.gz").tolist() == [[1, 2, 3], [4, 5, 255]]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is not an IDX file of bytes; its first bytes are missing, wanted 00 00 08"),
        (b"PK\3\4zip", "its first bytes are 50 4b 03 04, wanted 00 00 08"),
        (bytes.fromhex("00000d01 00000001 00000000"), "its first bytes are 00 00 0d 01"),
        (bytes.fromhex("00000803 00000001"), "is not an IDX file of bytes"),
        (idx(2, 3, values=b"12345"), "its header says 2 x 3 = 6 values, found 5; fetch the file again"),
        (idx(2, values=b"123"), "its header says 2 = 2 values, found 3"),
    ],
)
def test_what_is_no_idx_file_is_said(tmp_path, content, message):
    (tmp_path / "a").write_bytes(content)
    with pytest.raises(DataError, match=f"^{tmp_path}/a: .*{message}"):
        read_idx(tmp_path / "a")


@pytest.mark.parametrize("content", [b"not gzip", gzip.compress(b"x" * 1000, mtime=0)[:-9], b"\x1f\x8b" + b"\0" * 30])
def test_a_broken_gzip_file_is_named(tmp_path, content):
    (tmp_path / "a.gz").write_bytes(content)
    with pytest.raises(DataError, match=rf"^{tmp_path}/a\.gz: cannot be read \(.+\); fetch the file again\.$"):
        read_idx(tmp_path / "a.gz")


def test_the_folder_of_torchvision_is_read_plain_or_compressed(cache, raw, tmp_path):
    tables = data.load("mnist", str(tmp_path))
    assert [tables[split]["label"].to_pylist() for split in ("train", "test")] == [LABELS["train"], LABELS["t10k"]]
    assert tables["train"]["index"].to_pylist() == list(range(5))
    assert tables["test"].schema.field("image").type == pa.binary(784)
    assert tables["test"]["image"].to_pylist() == [picture.tobytes() for picture in PIXELS["t10k"]]
    assert tables["test"].schema.equals(data.load("mnist-sample")["test"].schema, check_metadata=True)


def test_the_folder_may_lie_in_the_data_folder_itself(cache, raw, tmp_path):
    shutil.move(tmp_path / "mnist" / "MNIST", tmp_path / "MNIST")
    assert data.load("mnist", str(tmp_path))["test"].num_rows == 3


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train-labels-idx1-ubyte", idx(4, values=b"\0\1\2\3"), r"holds labels of shape \(4,\) for 5 images of train"),
        (
            "train-images-idx3-ubyte",
            idx(5, 2, values=b"0123456789"),
            r"holds an array of shape \(5, 2\), wanted \(images",
        ),
        ("train-labels-idx1-ubyte", idx(5, values=b"\0\1\2\3\xff"), "column 'label' has type uint8, wanted int8 .*255"),
    ],
)
def test_files_that_do_not_belong_together(cache, raw, tmp_path, name, content, message):
    (raw / f"{name}.gz").unlink(missing_ok=True)
    (raw / name).write_bytes(content)
    with pytest.raises(DataError, match=message):
        data.load("mnist", str(tmp_path))


def test_check_counts_rows_and_sums_the_content(cache, raw, tmp_path):
    result = data.check("mnist", str(tmp_path))
    assert not result.ok
    assert result.rows == {"train": 5, "test": 3}
    assert result.columns == {"index": "int32", "label": "int8", "image": "fixed_size_binary[784]"}
    assert result.problems[0] == "split 'train' of 'mnist' has 5 rows, wanted 60,000."
    images = idx(*PIXELS["train"].shape, values=PIXELS["train"].tobytes())
    assert result.files[0].sha256 == hashlib.sha256(images).hexdigest()  # of the content, not of the gzip file
    assert result.files[0].size_bytes == (raw / "train-images-idx3-ubyte.gz").stat().st_size
    assert [file.as_published for file in result.files] == [False] * 4
