"""Load the data of a configuration."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pyarrow as pa

from raybayes.errors import DataError
from trainables.oneshot.config import Config, DataSetName, FileFormat, FileValues
from trainables.oneshot.data.annotations import Complaints, build_scenes, class_images_of_files, largest_crops
from trainables.oneshot.data.formats import READERS
from trainables.oneshot.data.records import Collection, OneShotData, Scene
from trainables.oneshot.data.shipped import read_shipped
from trainables.oneshot.data.splitting import split
from trainables.oneshot.data.synthesis import Layout, read_material, synthesise
from trainables.oneshot.registry import require_same_names

Tables = Callable[[str], Mapping[str, pa.Table]]  # `ctx.data`: splits of a data set by its name


def load_data(config: Config, tables: Tables) -> OneShotData:
    """Scenes and class images of a run.

    Args:
        config: of the run.
        tables: `ctx.data`.

    Raises:
        DataError: a source is missing or wrong; no class is left for evaluation; no object is left for training.
    """
    collection, notes = _collect(config, tables)
    found = split(collection, config.evaluation.classes, config.inference.class_images, notes)
    if config.steps and not any((~scene.difficult).any() for scene in found.train):
        raise DataError(
            "the training set has no positives: no scene has a box of a training class that is not difficult; add"
            " boxes, change files.unseen, or set steps = 0 to evaluate the untrained model."
        )
    return found


def _collect(config: Config, tables: Tables) -> tuple[Collection, tuple[str, ...]]:
    """The collection of the configured source, and notes about omitted data."""
    if config.files.format is not None:
        return read_files(config.files)
    if config.dataset is None:
        raise DataError("dataset = null requires your own files; set files.format, files.annotations and files.images.")
    return SOURCES[config.dataset](config, tables(config.dataset)), ()


def _synthesised(config: Config, tables: Mapping[str, pa.Table]) -> Collection:
    synth = config.synth
    layout = Layout(synth.side, synth.objects, synth.smallest, synth.largest)
    material = read_material(tables["all"], Path(synth.icons).expanduser() if synth.icons else None)
    return synthesise(
        material, synth.preset, layout, synth.train_scenes, synth.test_scenes, synth.seed,
        config.evaluation.classes == "unseen",
    )  # fmt: skip


def _shipped(config: Config, tables: Mapping[str, pa.Table]) -> Collection:
    return read_shipped(tables)


SOURCES: dict[DataSetName, Callable[[Config, Mapping[str, pa.Table]], Collection]] = {
    "grocery-sample": _synthesised,
    "oneshot-sample": _shipped,
    "oneshot-cards": _shipped,
    "oneshot-logos": _shipped,
    "shelf-demo": _shipped,
}
require_same_names("dataset", DataSetName, SOURCES)


def read_files(files: FileValues) -> tuple[Collection, tuple[str, ...]]:
    """A user's own scenes, and notes about omitted rows and pictures.

    Raises:
        DataError: a file is missing, or rows and pictures are bad; lists them.
    """
    source, images = Path(files.annotations).expanduser(), Path(files.images).expanduser()
    for name, path in (("annotations", source), ("images", images)):
        if not path.exists():
            raise DataError(f"files.{name}: {path} does not exist; give the path of your {name}.")
    listing = READERS[_format(files)](source, images)
    complaints = Complaints(files.skip_bad)
    scenes = build_scenes(listing, complaints)
    labels = sorted({label for part in scenes.values() for scene in part for label in scene.labels})
    folder = Path(files.class_images).expanduser() if files.class_images else None
    if folder is not None and not folder.is_dir():
        raise DataError(f"files.class_images: the folder {folder} does not exist; give the one with <class>.jpg.")
    pictures = class_images_of_files(labels, folder, listing, complaints)
    if missing := [name for name in labels if name not in pictures]:
        if folder is not None:
            for name in missing:
                complaints.add(f"class {name!r} has no class image in {folder}")
        else:
            pictures |= largest_crops(scenes, missing)
    notes = complaints.settle(str(source))
    known = frozenset(pictures)
    scenes = {name: [scene.only(known) for scene in part] for name, part in scenes.items()}
    if unknown := [name for name in files.unseen if name not in labels]:
        raise DataError(
            f"files.unseen: {', '.join(unknown)} has no box; the classes with boxes are {', '.join(labels)}."
        )
    roles = _roles(files, scenes, sorted(known))
    found = {name: tuple(part) for name, part in scenes.items()}
    return Collection(found, {name: pictures[name] for name in sorted(known)}, roles), notes


def _format(files: FileValues) -> FileFormat:
    if files.format is None:
        raise DataError("files.format is null; set it to csv, voc, yolo or flickr_logos.")
    return files.format


def _roles(files: FileValues, scenes: Mapping[str, Sequence[Scene]], classes: Sequence[str]) -> dict[str, str]:
    """Novel are the classes that the user names; by default those without a box in the training scenes."""
    if files.unseen:
        return {name: "novel" if name in files.unseen else "base" for name in classes}
    if "train" not in scenes:
        return dict.fromkeys(classes, "base")
    trained = {label for scene in scenes["train"] for label in scene.labels}
    return {name: "base" if name in trained else "novel" for name in classes}
