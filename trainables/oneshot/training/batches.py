"""The data of one update: patches of scenes, class images, and objects; a function of (seed, step, rank)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from trainables.oneshot.config import Config
from trainables.oneshot.data.draws import Draws
from trainables.oneshot.data.records import OneShotData, Scene, to_tensor
from trainables.oneshot.geometry.targets import Objects
from trainables.oneshot.training.mining import Mined
from trainables.oneshot.training.patches import Patch, cropped, flipped, mirrored, random_patch

_SMALLEST_EXTRA = 16.0  # pixels; a smaller box has too little detail for a class image


@dataclass(frozen=True)
class Batch:
    """Patches (B, 3, h, w), class images (K of (3, h, w)), and the objects of every patch and class."""

    scenes: Tensor
    class_images: tuple[Tensor, ...]
    classes: tuple[str, ...]
    objects: tuple[tuple[Objects, ...], ...]


class Batches:
    """Draws the batch of a step.

    Args:
        config: of the run.
        data: of the run.
        scales: scene id -> patch pixels per scene pixel at which an object has the size of an anchor.
    """

    def __init__(self, config: Config, data: OneShotData, scales: Mapping[str, float]) -> None:
        self.config, self.data, self.scales = config, data, scales
        self._scenes = {scene.id: scene for scene in data.train}
        self._with: dict[str, list[tuple[Scene, int]]] = {name: [] for name in data.trained}
        for scene in data.train:
            for i, label in enumerate(scene.labels):
                side = (scene.boxes[i, 2:] - scene.boxes[i, :2]).min()
                if not scene.difficult[i] and side >= _SMALLEST_EXTRA:
                    self._with[label].append((scene, i))

    def draw(self, generator: torch.Generator, mined: Sequence[Mined]) -> Batch:
        """A batch; once hard patches are mined, half of its patches are hard negatives, half hard positives."""
        config, draws = self.config, Draws(generator)
        kinds = {kind: [m for m in mined if m.kind == kind] for kind in ("negative", "positive", "box")}
        patches: list[Patch] = []
        wanted: list[str] = []
        for _ in range(config.batch_size):
            pool = kinds["negative"] if draws.coin() else [*kinds["positive"], *kinds["box"]]
            if mined and pool:
                hard = pool[draws.integer(len(pool))]
                scene, window = self._scenes[hard.scene], torch.tensor(hard.window)
                wanted.append(hard.label)
            else:
                scene, window = self.data.train[draws.integer(len(self.data.train))], None
            patches.append(random_patch(scene, self.scales[scene.id], config, draws, window))
            wanted += draws.shuffled(sorted(set(scene.labels)))
        classes = self._classes(wanted, draws)
        images = [self._class_image(name, draws) for name in classes]
        if config.patch.flips:
            across, down = draws.coin(), draws.coin()
            patches = [mirrored(patch, across, down) for patch in patches]
            images = [flipped(image, across, down) for image in images]
        objects = tuple(tuple(_objects(patch, name) for name in classes) for patch in patches)
        return Batch(torch.stack([patch.pixels for patch in patches]), tuple(images), classes, objects)

    def _classes(self, wanted: list[str], draws: Draws) -> tuple[str, ...]:
        """The wanted classes in their order, each once, cut to the class batch; optionally filled with others."""
        size = self.config.class_batch_size
        found = list(dict.fromkeys(wanted))[:size]
        if self.config.patch.fill_classes and len(found) < size:
            others = [name for name in self.data.trained if name not in set(wanted)]
            found += draws.shuffled(others)[: size - len(found)]
        return tuple(found)

    def _class_image(self, name: str, draws: Draws) -> Tensor:
        pictures = [image.picture for image in self.data.class_images[name]]
        picture = pictures[draws.integer(len(pictures))]
        if self.config.patch.extra_class_images and self._with[name] and draws.coin():
            scene, i = self._with[name][draws.integer(len(self._with[name]))]
            x0, y0, x1, y1 = (round(value) for value in scene.boxes[i].tolist())
            pixels = to_tensor(scene.picture.open().crop((x0, y0, x1, y1)))
        else:
            pixels = to_tensor(picture.open())
        return cropped(pixels, draws) if self.config.patch.class_crops else pixels


def _objects(patch: Patch, name: str) -> Objects:
    mine = [i for i, label in enumerate(patch.labels) if label == name]
    return Objects(patch.boxes[mine], patch.difficult[mine])
