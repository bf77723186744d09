"""The data sets of raybayes: cards, logos, the shelf photo, and the sample with some of each."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

import pyarrow as pa
import torch

from trainables.oneshot.data.records import ClassImage, Collection, Picture, Scene


def read_shipped(tables: Mapping[str, pa.Table]) -> Collection:
    """Scenes and class images from tables of images with boxes, and templates.

    The photos of the split "query" have no boxes and are left out. A class's first template is its class image; the
    others are used if the configuration wants several.
    """
    scenes: dict[str, list[Scene]] = defaultdict(list)
    templates: dict[str, list[ClassImage]] = defaultdict(list)
    roles: dict[str, str] = {}
    for split, table in tables.items():
        if split == "query":
            continue
        for row in table.to_pylist():
            name = f"{row['set']}/{row['id']}"
            picture = Picture(name, row["jpeg"])
            if row["kind"] == "template":
                source = f"{row['set']}/{row['cut_from']}" if row["cut_from"] is not None else None
                templates[row["class"]].append(ClassImage(picture, source))
                roles[row["class"]] = row["role"]
            elif row["boxes"]:
                scenes[split].append(_scene(name, picture, row))
    found = {split: tuple(listed) for split, listed in scenes.items()}
    if "test" not in found:
        found = {"all": tuple(scene for listed in found.values() for scene in listed)}
    return Collection(found, {name: tuple(images) for name, images in sorted(templates.items())}, roles)


def _scene(name: str, picture: Picture, row: Mapping[str, Any]) -> Scene:
    edges = (row["width"], row["height"])
    boxes = [[min(max(b[c], 0), edges[i % 2]) for i, c in enumerate(("x0", "y0", "x1", "y1"))] for b in row["boxes"]]
    labels = tuple(box["class"] for box in row["boxes"])
    return Scene(name, picture, *edges, torch.tensor(boxes), labels, torch.zeros(len(labels), dtype=torch.bool))
