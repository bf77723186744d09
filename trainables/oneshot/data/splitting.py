"""The division of a collection into training and evaluation: its unseen classes, and the scenes that contain them."""

from __future__ import annotations

from collections.abc import Sequence

from raybayes.errors import DataError
from trainables.oneshot.config import JudgedClasses
from trainables.oneshot.data.records import Collection, OneShotData, Scene


def split(collection: Collection, judged: JudgedClasses, used: int = 1, notes: tuple[str, ...] = ()) -> OneShotData:
    """Choose the classes and scenes of training and evaluation.

    "unseen" evaluates the val classes if the data have some, else the novel ones; "novel" evaluates the novel classes
    and also trains on the val classes; "seen" evaluates training classes on scenes without training. Scenes are divided
    by the splits of the data. Without splits, scenes with an evaluated class are for evaluation only; for "seen" these
    are the last fifth. A class is not evaluated in the scenes from which its first `used` class images were cut.

    Args:
        collection: of a source.
        judged: the kind of evaluated classes.
        used: pictures used per class.
        notes: messages about omitted data.

    Raises:
        DataError: no class or scene is left for evaluation, or a class has no class image.
    """
    trained, unseen = _trained_and_unseen(collection, judged)
    train, evaluate = _scenes(collection, frozenset(unseen or trained))
    shown = {label for scene in evaluate for label in scene.labels}
    own_test = any(name in collection.scenes for name in ("test", "val"))
    seen = tuple(c for c in trained if c in shown) if own_test or judged == "seen" else ()
    unseen = tuple(c for c in unseen if c in shown)
    if not (unseen or seen):
        raise DataError("no scene is left for evaluation; give scenes with the evaluated classes, or other classes.")
    _require_class_images(collection, (*trained, *unseen))
    wanted = frozenset((*seen, *unseen))
    return OneShotData(
        train=tuple(s for s in (scene.only(frozenset(trained)) for scene in train) if s.labels),
        evaluate=_independent(tuple(scene.only(wanted) for scene in evaluate), collection, used),
        class_images=collection.class_images,
        trained=trained,
        seen=seen,
        unseen=unseen,
        notes=notes,
    )


def _trained_and_unseen(collection: Collection, judged: JudgedClasses) -> tuple[tuple[str, ...], tuple[str, ...]]:
    by_role = {
        role: tuple(sorted(c for c, r in collection.roles.items() if r == role)) for role in ("base", "val", "novel")
    }
    excluded = by_role["val"] if judged != "novel" and by_role["val"] else by_role["novel"]
    trained = (*by_role["base"], *(by_role["val"] if excluded == by_role["novel"] else ()))
    unseen = () if judged == "seen" else excluded
    if judged != "seen" and not unseen:
        raise DataError(
            "no class is excluded from training; name some in files.unseen, or set evaluation.classes = seen."
        )
    return trained, unseen


def _require_class_images(collection: Collection, classes: Sequence[str]) -> None:
    missing = [c for c in classes if not collection.class_images.get(c)]
    if missing:
        raise DataError(
            f"{len(missing)} classes have no class image: {', '.join(missing[:8])}; add a picture of each, or leave"
            " files.class_images empty to crop them from the scenes."
        )


def _scenes(collection: Collection, judged: frozenset[str]) -> tuple[tuple[Scene, ...], tuple[Scene, ...]]:
    scenes = collection.scenes
    if own := tuple(scene for name in ("test", "val") for scene in scenes.get(name, ())):
        return scenes.get("train", ()), own
    every = tuple(scene for part in scenes.values() for scene in part)
    if collection.roles and all(role == "base" for role in collection.roles.values()):
        return every[: -max(len(every) // 5, 1)], every[-max(len(every) // 5, 1) :]
    holds = [bool(judged.intersection(scene.labels)) for scene in every]
    return (
        tuple(scene for scene, held in zip(every, holds, strict=True) if not held),
        tuple(scene for scene, held in zip(every, holds, strict=True) if held),
    )


def _independent(scenes: tuple[Scene, ...], collection: Collection, used: int) -> tuple[Scene, ...]:
    sources = {
        (image.cut_from, name) for name, images in collection.class_images.items() for image in images[:used]
        if image.cut_from is not None
    }  # fmt: skip
    found = []
    for scene in scenes:
        for label in sorted(set(scene.labels)):
            if (scene.id, label) in sources:
                scene = scene.without(label)
        found.append(scene)
    return tuple(found)
