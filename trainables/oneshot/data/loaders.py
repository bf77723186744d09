"""The data that a configuration names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa

from raybayes.errors import DataError
from trainables.oneshot.config import Config, FileValues
from trainables.oneshot.data.annotations import Complaints, build_scenes, class_images_of_files, largest_crops
from trainables.oneshot.data.formats import READERS
from trainables.oneshot.data.records import Collection, OneShotData
from trainables.oneshot.data.shipped import read_shipped
from trainables.oneshot.data.splitting import split
from trainables.oneshot.data.synthesis import Layout, read_material, synthesise


def choose(config: Config, tables: Callable[[str], Mapping[str, pa.Table]]) -> OneShotData:
    """Scenes and class images of a run.

    Args:
        tables: `ctx.data`.

    Raises:
        DataError: a source is missing or wrong; no class is left to judge; no object is left to train on.
    """
    notes: tuple[str, ...] = ()
    if config.files.format is not None:
        collection, notes = read_files(config.files)
    elif config.dataset == "grocery-sample":
        synth = config.synth
        layout = Layout(synth.side, synth.objects, synth.smallest, synth.largest)
        material = read_material(tables(config.dataset)["all"], Path(synth.icons).expanduser() if synth.icons else None)
        collection = synthesise(
            material, synth.preset, layout, synth.train_scenes, synth.test_scenes, synth.seed,
            config.evaluation.classes == "unseen",
        )  # fmt: skip
    else:
        collection = read_shipped(tables(str(config.dataset)))
    found = split(collection, config.evaluation.classes, config.inference.class_images, notes)
    if config.steps and not any((~scene.difficult).any() for scene in found.train):
        raise DataError(
            "the training set has no positives: no scene holds a box of a training class that is not difficult; add"
            " boxes, change files.unseen, or set steps = 0 to judge the untrained model."
        )
    return found


def read_files(files: FileValues) -> tuple[Collection, tuple[str, ...]]:
    """A user's own scenes, and notes of what was left out. DataError lists bad rows and pictures."""
    source, images = Path(files.annotations).expanduser(), Path(files.images).expanduser()
    for name, path in (("annotations", source), ("images", images)):
        if not path.exists():
            raise DataError(f"files.{name}: there is no {path}; give the place of your {name}.")
    listing = READERS[str(files.format)](source, images)
    complaints = Complaints(files.skip_bad)
    scenes = build_scenes(listing, complaints)
    labels = sorted({label for part in scenes.values() for scene in part for label in scene.labels})
    folder = Path(files.class_images).expanduser() if files.class_images else None
    if folder is not None and not folder.is_dir():
        raise DataError(f"files.class_images: there is no folder {folder}; give the one that holds <class>.jpg.")
    pictures = class_images_of_files(labels, folder, listing, complaints)
    if lacking := [name for name in labels if name not in pictures]:
        if folder is not None:
            for name in lacking:
                complaints.add(f"class {name!r} has no class image in {folder}")
        else:
            pictures |= largest_crops(scenes, lacking)
    notes = complaints.settle(str(source))
    known = frozenset(pictures)
    scenes = {name: [scene.only(known) for scene in part] for name, part in scenes.items()}
    if unknown := [name for name in files.unseen if name not in labels]:
        raise DataError(f"files.unseen: {', '.join(unknown)} has no box; classes with boxes: {', '.join(labels)}.")
    roles = _roles(files, scenes, sorted(known))
    found = {name: tuple(part) for name, part in scenes.items()}
    return Collection(found, {name: pictures[name] for name in sorted(known)}, roles), notes


def _roles(files: FileValues, scenes: Mapping[str, list], classes: list[str]) -> dict[str, str]:
    """Novel are the classes that the user names; if none, those without a box in the training scenes."""
    if files.unseen:
        return {name: "novel" if name in files.unseen else "base" for name in classes}
    if "train" not in scenes:
        return dict.fromkeys(classes, "base")
    trained = {label for scene in scenes["train"] for label in scene.labels}
    return {name: "base" if name in trained else "novel" for name in classes}
