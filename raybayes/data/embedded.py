"""The data sets inside the package: a sample of each subject, and the shelf photo, small enough to be whole."""

from __future__ import annotations

from dataclasses import replace

import pyarrow as pa

from raybayes.data.full_images import CARDS, CIFAR10, MNIST, ONESHOT_COLUMNS
from raybayes.data.full_tables import LETTERS, LTR, MULTI30K, SACHS, SPELLING, TSP
from raybayes.data.oneshot import read_shelf
from raybayes.data.record import Column, DataSet, File
from raybayes.data.tables import read_tables


def _sample(of: DataSet, doc: str, splits: dict[str, int], file: File, fingerprint: str, **changes: object) -> DataSet:
    """The same columns, classes and pixels as the full set, out of one embedded file."""
    return replace(
        of,
        name=f"{of.folder}-sample",
        doc=doc,
        splits=splits,
        files=(file,),
        fingerprint=fingerprint,
        read=read_tables,
        folder="",
        embedded=True,
        sample=None,
        source=None,
        **changes,  # type: ignore[arg-type]
    )


_ONESHOT_FILE = File(
    "oneshot.parquet", 500_463, sha256="47cf25349af9545cef9287eff93d884eb7cf37846bbdd70c06b0093ff19cc44c"
)

EMBEDDED = (
    _sample(
        MNIST,
        "the first 200 + 100 digits of each class of MNIST",
        {"train": 2_000, "test": 1_000},
        File("mnist.parquet", 455_183, sha256="4e0571eba9d3f54ea33b8579aecaa000ef0c0b0056149a58c1b1e8e4322e8818"),
        "7955eca90792e2a9db1dbfbe96228502fe6a253399057f98988a4cd8e34ac337",
    ),
    _sample(
        CIFAR10,
        "the first 150 + 50 images of each class of CIFAR-10, JPEG (lossy)",
        {"train": 1_500, "test": 500},
        File("cifar10.parquet", 621_142, sha256="ae02396fc676374cd1c4c14bf3d8ba9f9132b2207ff73b78a1750f515be9bf7f"),
        "eace8fb90cc5fc9c5e6e3d3fab164d321192e0ea401b3c313797183530a466ac",
    ),
    _sample(
        LETTERS,
        "100 OCR words of each of the folds 0..8, all 26 letters",
        {"all": 900},
        File("letters.parquet", 60_504, sha256="e47d4d393fad000da4e641a59e09d87149c2fc24f5f6d082fbeb81fafb352460"),
        "4c7d79057e06104c58e6dcb8a9c143558421e75f99898db59fb24841498636bc",
    ),
    _sample(
        SPELLING,
        "3,000 misspellings with one correction each, a-z words",
        {"train": 2_400, "val": 300, "test": 300},
        File("spelling.parquet", 31_384, sha256="2d59b3072a438721b27246d2e71b2b302afe61e27c7f08091f2a9cf5ef78b59f"),
        "7ad92920fd85d16ae42e5a8266667325fd4fb3953f213d0661cb9e1e01d2d211",
        licence="CC BY-SA 3.0 (the codespell dictionary and Wikipedia's list)",
        constants={"n_candidates": 1, "rank": 0},
    ),
    _sample(
        MULTI30K,
        "the first pairs of three splits of Multi30k",
        {"train": 800, "val": 100, "test_2016_flickr": 100},
        File("multi30k.parquet", 48_551, sha256="27600290d6df57dae4dea645eb84e93226f9ba138acded2d5283f27687c6a5dd"),
        "9b032c54d8536eb15b46d297d6f68d5fe746b7fb0e380f9b26744095749bfc65",
    ),
    _sample(
        SACHS,
        "the 853 observational cells (file 1) of Sachs et al. 2005, with two reference graphs",
        {"all": 853},
        File("sachs.parquet", 24_482, sha256="e7c01a4ad4ceda34b4d922e7f9157d269fe43768501e18e371870f5b9ed5bee1"),
        "75d8142130167664f262c3be0393eae421ad90094511f7d9a3f82bb075b8ba74",
        constants={"file": 1, "condition": "cd3cd28"},
    ),
    _sample(
        TSP,
        "burma14, bayg29 and berlin52 of TSPLIB",
        {"all": 3},
        File("tsp.parquet", 9_540, sha256="fe4abe545257b9b46e852d802e16083df3e563776cb4e6aeb4b3f4942fe8be6c"),
        "076ebb35fd50743c0ed0566ff9b6a0284c3c65b8a9e83a70944fbaf6f65bb268",
    ),
    _sample(
        LTR,
        "60 + 20 queries of the ranking data",
        {"train": 889, "test": 317},
        File("ltr.parquet", 164_067, sha256="203d96433d85ec1aa79a8d52947a0854b4703c6bef16f56286d7eb32fb283a52"),
        "f26039dc44a9e3a32eaa63ef5a510e2de3ebe7d8aa86702349523a45f5ec36de",
    ),
    _sample(
        CARDS,
        "the shelf photo with 2 templates, 12 card photos (360 pixels) and 24 card templates",
        {"train": 32, "test": 7},
        _ONESHOT_FILE,
        "486bb065e2d23f129c9f0f803c89779b3407a5cf399d1ae55286c7a4c1d1a442",
        licence="cards Apache-2.0, shelf photo MIT",
        obtain="the sources of `oneshot-cards` and `shelf-demo`",
        constants={"cut_from": None},
    ),
    DataSet(
        name="grocery-sample",
        doc="91 product pictures on white (81 classes) and 45 shop photos as backgrounds, for making scenes",
        licence="MIT",
        obtain="GitHub marcusklasson/GroceryStoreDataset at fc80ba9",
        columns=(
            Column("kind", pa.string(), "icon (a product on white) or background"),
            Column("group", pa.string(), "shelf group; of ten icons the source gives only its file name"),
            Column("name", pa.string(), "product or photo"),
            Column("width", pa.int64(), "pixels"),
            Column("height", pa.int64(), "pixels"),
            Column("image", pa.binary(), "the encoded picture, JPEG"),
        ),
        splits={"all": 136},
        files=(
            File(
                "grocery.parquet", 1_338_021, sha256="bc0da48e453cb1f719461c6408fa9d47e95f4f56473ff2d4ca9c454f3e9197c1"
            ),
        ),
        read=read_tables,
        embedded=True,
        fingerprint="d0496026855cf4dbe0f2fa69f97e5481194714899d4283593c5e54266bc9e70d",
    ),
    DataSet(
        name="shelf-demo",
        doc="the OS2D demonstration photo with its 2 class images; the 10 boxes were drawn by hand and are approximate",
        licence="MIT (repository)",
        obtain="GitHub aosokin/os2d at 817ffb15",
        columns=ONESHOT_COLUMNS,
        splits={"test": 3},
        files=(_ONESHOT_FILE,),
        read=read_shelf,
        embedded=True,
        constants={"cut_from": None},
        fingerprint="380f21399a482ba6a044a8d9ce40fd92f80d1154099acf4f937865e9070808fe",
    ),
)
