"""Photos with boxes, and templates to find in them: converts three Parquet files to the form of the samples."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from raybayes.data.files.tables import read_parquet, read_tables
from raybayes.data.records import Column, DataSet

BOX = pa.struct({"class": pa.string(), "x0": pa.float32(), "y0": pa.float32(), "x1": pa.float32(), "y1": pa.float32()})
_SIZED_JPEG = (
    Column("image_id", pa.string(), "which photo"),
    Column("width", pa.int16(), "pixels"),
    Column("height", pa.int16(), "pixels"),
    Column("jpeg", pa.binary(), "the encoded picture"),
)
_IMAGES = (*_SIZED_JPEG, Column("split", pa.string(), "name of the split"))
_TEMPLATES = (
    *_SIZED_JPEG,
    Column("class", pa.string(), "what it shows"),
    Column("role", pa.string(), "base, val or novel"),
)
_BOXES = (
    Column("image_id", pa.string(), "which photo"),
    Column("class", pa.string(), "what the box surrounds"),
    *(Column(name, pa.float32(), "pixels of the stored image") for name in ("x0", "y0", "x1", "y1")),
)


def read_cards(dataset: DataSet, paths: Mapping[str, Path]) -> dict[str, pa.Table]:
    """The playing cards; a template's id is "<class>_<suit>"."""
    return _nested(dataset, paths, "cards", ("suit", pa.string()), None)


def read_logos(dataset: DataSet, paths: Mapping[str, Path]) -> dict[str, pa.Table]:
    """FlickrLogos-27; a template's id is "<class>_<rank>", a query photo's class the brand that it shows, or "none"."""
    return _nested(dataset, paths, "logos", ("rank", pa.int8()), "query_class")


def read_shelf(dataset: DataSet, paths: Mapping[str, Path]) -> dict[str, pa.Table]:
    """The shelf photo and its two templates, out of the sample that also holds cards."""
    tables = read_tables(dataset, paths)
    return {split: tables[split].filter(pc.equal(tables[split]["set"], "shelf")) for split in dataset.splits}


def _nested(
    dataset: DataSet,
    paths: Mapping[str, Path],
    stem: str,
    naming: tuple[str, pa.DataType],
    shown: str | None,
) -> dict[str, pa.Table]:
    """Rows of kind "image" with their boxes, then rows of kind "template", which belong to the training split."""
    which = Column(*naming, doc="distinguishes the templates of a class")
    labels = () if shown is None else (Column(shown, pa.string(), "what the photo shows; empty where boxes say it"),)
    images, boxes, templates = (
        read_parquet(paths[f"{stem}_{part}.parquet"], columns).to_pylist()
        for part, columns in (("images", (*_IMAGES, *labels)), ("boxes", _BOXES), ("templates", (*_TEMPLATES, which)))
    )
    by_image: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for box in boxes:
        by_image[box.pop("image_id")].append(box)
    rows: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
    for row in images:
        whole = row[shown] or None if shown else None
        rows[row["split"]].append(
            {**row, "kind": "image", "id": row["image_id"], "class": whole, "boxes": by_image[row["image_id"]]}
        )
    for row in templates:
        rows["train"].append(
            {
                **row,
                "kind": "template",
                "id": f"{row['class']}_{row[which.name]}",
                "cut_from": row["image_id"],
                "boxes": [],
            }
        )
    schema = pa.schema([pa.field(c.name, c.type, c.nullable) for c in dataset.columns])
    return {
        split: pa.Table.from_pylist([{**row, "set": stem} for row in rows[split]], schema) for split in dataset.splits
    }
