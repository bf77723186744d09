"""From a collection to what a run trains and is judged on: which classes are unseen, and which scenes they lie in."""

from __future__ import annotations

from typing import Literal

from raybayes.errors import DataError
from trainables.oneshot.data.records import Collection, OneShotData, Scene

Judged = Literal["unseen", "novel", "seen"]


def split(collection: Collection, judged: Judged, used: int = 1, notes: tuple[str, ...] = ()) -> OneShotData:
    """Choose classes and scenes.

    "unseen" judges the val classes where the data names some, else the novel ones; "novel" judges the novel classes
    and trains on the val classes too; "seen" judges training classes on scenes that were not trained on. Scenes are
    split as the data say. Where they do not say it, those that hold a judged class are judged and not trained on; for
    "seen" these are the last fifth. A class is not judged in the scenes that its class images were cut from, the first
    `used` of them.

    Raises:
        DataError: there is no class or scene to judge, or a class has no class image.
    """
    by_role = {role: tuple(sorted(c for c, r in collection.roles.items() if r == role)) for role in ROLES}
    kept_apart = by_role["val"] if judged != "novel" and by_role["val"] else by_role["novel"]
    trained = (*by_role["base"], *(by_role["val"] if kept_apart == by_role["novel"] else ()))
    unseen = () if judged == "seen" else kept_apart
    if judged != "seen" and not unseen:
        raise DataError(
            "no class is kept apart from training; name some in files.unseen, or set evaluation.classes = seen."
        )
    train, evaluate = _scenes(collection, frozenset(unseen or trained))
    shown = {label for scene in evaluate for label in scene.labels}
    own_test = any(name in collection.scenes for name in ("test", "val"))
    seen = tuple(c for c in trained if c in shown) if own_test or judged == "seen" else ()
    unseen = tuple(c for c in unseen if c in shown)
    if not (unseen or seen):
        raise DataError("no scene is left to judge the classes on; give scenes that hold them, or other classes.")
    lacking = [c for c in (*trained, *unseen) if not collection.class_images.get(c)]
    if lacking:
        raise DataError(
            f"{len(lacking)} classes have no class image: {', '.join(lacking[:8])}; add a picture of each, or leave"
            " files.class_images empty to cut them from the scenes."
        )
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


ROLES = ("base", "val", "novel")


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
