"""Every hyperparameter of the one-shot detector: what it means, its unit, its range, and where its value comes from.

"[P]" marks the published setting (Osokin et al. 2020, arXiv 2003.06800, and its released code, model V1). Defaults are
a preset that learns on one CPU core in minutes.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from trainables.oneshot.model.backbones import BackboneName
from trainables.oneshot.model.head import Sampling, Transform
from trainables.oneshot.model.losses import Objective

PYRAMIDS: dict[int, tuple[float, ...]] = {
    1: (1.0,),
    3: (0.625, 1.0, 1.6),
    5: (0.5, 0.75, 1.0, 1.3, 1.6),
    7: (0.5, 0.625, 0.8, 1.0, 1.2, 1.4, 1.6),
}


class Group(BaseModel):
    """A frozen group of values in which a wrong name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FileValues(Group):
    """Your own data. Set dataset = null with it."""

    format: Literal["csv", "voc", "yolo", "flickr_logos"] | None = Field(
        None, description="Of the annotations: table of boxes, VOC XML, YOLO txt, FlickrLogos-27 txt; null: not used"
    )
    annotations: str = Field("", description="File (csv, flickr_logos) or folder (voc, yolo) of the boxes")
    images: str = Field("", description="Folder of the scenes")
    class_images: str = Field("", description="Folder of <class>.jpg or <class>/*.jpg; empty: the largest box, cut out")
    unseen: tuple[str, ...] = Field((), description="Classes kept apart from training; empty: those not in its scenes")
    skip_bad: bool = Field(
        False, description="Leave bad rows and pictures out, named in the log; else they are refused"
    )


class SynthValues(Group):
    """Scenes made of product pictures pasted on shop photos."""

    icons: str = Field(
        "", description="Folder of pictures to paste, one a class, with alpha or a plain ground; empty: the products"
    )  # fmt: skip
    preset: Literal["easy", "hard"] = Field("hard", description="How much objects differ from their class image")
    side: int = Field(320, ge=64, le=2048, description="Pixels along a side of a scene")
    objects: int = Field(5, ge=1, le=50, description="Labelled objects in a scene, at most")
    smallest: float = Field(48.0, ge=8, le=2048, description="Least sqrt(area) of an object, pixels")
    largest: float = Field(112.0, ge=8, le=2048, description="Largest sqrt(area) of an object, pixels")
    train_scenes: int = Field(200, ge=1, le=100_000, description="Scenes to train on")
    test_scenes: int = Field(25, ge=1, le=100_000, description="Scenes with the classes kept apart")
    seed: int = Field(0, ge=0, le=2**40, description="Of all scenes; equal for all seeds of a run")


class ModelValues(Group):
    """The network and the geometry of matching."""

    backbone: BackboneName = Field(
        "efficientnet_lite0_s16", description="Shared by scenes and class images. [P] resnet50_c4"
    )
    weights: str = Field(
        "packaged", description="packaged (ImageNet, Lite0 alone), random, or the path of a state dict. [P] ImageNet"
    )
    transform_weights: str = Field(
        "", description="State dict of TransformNet to start from; empty: identity. [P] empty"
    )
    grid_size: int = Field(7, ge=3, le=31, description="G, cells along a class image and an anchor; odd. [P] 15")
    pool_border: int = Field(1, ge=0, le=7, description="Rings of the class grid left out of the score. [P] 2")
    sampling: Sampling = Field("exact", description="Grid of the score; reference for published weights. [P] reference")
    transform: Transform = Field(
        "affine4", description="What a window may become. [P] affine4 (V1), affine6_inverse (V2)"
    )
    anchor_aspect: Literal["square", "class"] = Field("class", description="First shape of windows. [P] square")


class TargetValues(Group):
    """Which anchor stands for which object."""

    positive_iou: float = Field(0.5, gt=0, lt=1, description="Overlap of an anchor that is positive. [P] 0.5")
    negative_iou: float = Field(0.1, ge=0, lt=1, description="Overlap below which an anchor is negative. [P] 0.1")
    remap: bool = Field(True, description="Assign anew for recognition by the predicted boxes. [P] true")
    remap_positive_iou: float = Field(0.6, gt=0, lt=1, description="positive_iou of predicted boxes. [P] 0.8")
    remap_negative_iou: float = Field(0.3, ge=0, lt=1, description="negative_iou of predicted boxes. [P] 0.4")
    remap_after: float = Field(
        0.25, ge=0, le=1, description="Share of the steps before those two apply; until then predicted boxes are judged"
        " like anchors. [P] 0"
    )  # fmt: skip


class LossValues(Group):
    """What is minimised."""

    objective: Objective = Field("rll", description="Of recognition. [P] rll")
    negative_margin: float = Field(0.15, ge=-1, le=1, description="Score below which negatives are content. [P] 0.5")
    margin_gap: float = Field(
        0.35, ge=0, le=2, description="Positive margin minus negative margin. [P] 0.1; contrastive 0.5"
    )
    ranked_ratio: float = Field(1e-3, gt=0, lt=1, description="Weight of a negative at its margin (rll). [P] 0.001")
    hard_ratio: float = Field(3.0, gt=0, le=100, description="Hardest negatives per positive (other objectives). [P] 3")
    negative_weight: float = Field(1.0, ge=0, le=100, description="Of the negatives' term. [P] 1")
    box_weight: float = Field(0.2, ge=0, le=100, description="Of the localisation loss. [P] 0.2 (V1), 0 (V2)")
    transform_on_negatives: bool = Field(False, description="Negatives move the transformations too. [P] false")


class PatchValues(Group):
    """Pieces of scenes and class images that are trained on."""

    width: int = Field(256, ge=32, le=2048, description="Pixels, a multiple of 16. [P] 600")
    height: int = Field(256, ge=32, le=2048, description="Pixels, a multiple of 16. [P] 600")
    scale_jitter: float = Field(0.7, gt=0, le=1, description="Scale is drawn from s · j to s / j. [P] 0.7")
    aspect_jitter: float = Field(0.9, gt=0, le=1, description="Aspect is drawn from j to 1 / j. [P] 0.9")
    least_coverage: float = Field(0.7, gt=0.3, le=1, description="Share of some box that a patch must hold. [P] 0.7")
    flips: bool = Field(False, description="Mirror scene and class images together, both ways. [P] false")
    colour: bool = Field(False, description="SSD's brightness, contrast, saturation and hue. [P] false")
    class_crops: bool = Field(False, description="Cut the edges of class images at random. [P] false")
    extra_class_images: bool = Field(False, description="Boxes of other training scenes as class images. [P] false")
    fill_classes: bool = Field(
        True, description="Fill the class batch with classes that are not in the scenes. [P] false"
    )


class MiningValues(Group):
    """Training on the patches that the model is worst at."""

    period: int = Field(0, ge=0, le=1_000_000, description="Steps between two searches; 0: none. [P] 5,000 where used")
    per_scene: int = Field(10, ge=1, le=1000, description="Patches kept of each kind and scene. [P] 10")
    scales: int = Field(2, ge=1, le=10, description="Random scales at which a scene is looked at. [P] 2")
    classes: int = Field(200, ge=0, le=100_000, description="Random classes that are not in the scene. [P] 200")
    nms_iou: float = Field(0.5, gt=0, lt=1, description="Overlap above which the easier patch is dropped. [P] 0.5")


class OptimValues(Group):
    """The optimiser, and what it does not touch."""

    name: Literal["adam", "sgd"] = Field("adam", description="Optimiser. [P] sgd")
    backbone_lr: float = Field(5e-5, gt=0, le=1, description="Step size of the backbone. [P] 1e-4")
    transform_lr: float = Field(3e-4, gt=0, le=1, description="Step size of TransformNet. [P] 1e-4")
    momentum: float = Field(0.9, ge=0, lt=1, description="Of sgd. [P] 0.9")
    weight_decay: float = Field(1e-4, ge=0, le=1, description="L2 penalty. [P] 1e-4")
    milestones: tuple[float, ...] = Field((), description="Shares of the steps at which step sizes fall. [P] 0.5, 0.75")
    decay: float = Field(0.1, gt=0, le=1, description="Factor at a milestone. [P] 0.1")
    max_grad_norm: float = Field(100.0, gt=0, le=1e6, description="L2 norm that gradients are cut to. [P] 100")
    train_backbone: bool = Field(True, description="Else its weights stay as they are. [P] true")
    frozen_blocks: int = Field(6, ge=0, le=31, description="First blocks of the backbone that stay as they are. [P] 0")
    freeze_transform: bool = Field(False, description="TransformNet stays as it is. [P] false")
    freeze_transform_bn: bool = Field(True, description="Its BatchNorm keeps its statistics. [P] true (V2), false (V1)")


class InferenceValues(Group):
    """How a trained model looks at a scene; these can be searched afterwards without training (raybayes rescore)."""

    eval_scale: int | None = Field(
        None, ge=16, le=20_000, description="Long side of a scene at level 1, pixels; null: from the boxes"
    )  # fmt: skip
    pyramid: Literal[1, 3, 5, 7] = Field(3, description="Levels of the image pyramid. [P] 7")
    levels: tuple[float, ...] = Field((), description="Your own levels; empty: those of the pyramid")
    nms_iou: float = Field(0.3, ge=0, le=1, description="Overlap above which the worse box is dropped. [P] 0.3")
    score_threshold: float = Field(-1.0, ge=-1, le=1, description="Lowest score that is kept; -1: all. [P] none")
    nms_across_classes: bool = Field(False, description="Also drop boxes below those of other classes. [P] false")
    top_k: int = Field(
        300, ge=1, le=1_000_000, description="Boxes kept of each class, view and level before NMS. [P] all"
    )
    most: int = Field(300, ge=1, le=1_000_000, description="Detections kept of each class in a scene. [P] all")
    class_views: Literal["none", "horflip", "rotation90", "horflip_rotation90"] = Field(
        "none", description="Further views of each class image: 2, 4 or 8 in all. [P] none"
    )
    class_images: int = Field(1, ge=1, le=100, description="Pictures of a class that are used, where there are several")
    class_batch: int = Field(
        8, ge=1, le=1000, description="Class images matched at once: bounds memory, 4 to 8 is fastest"
    )
    max_megapixels: float = Field(16.0, gt=0, le=1000, description="Largest level of a scene, in 10⁶ pixels")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="TransformNet's arithmetic when not training"
    )


class EvaluationValues(Group):
    """What is judged, and what is kept of it."""

    classes: Literal["unseen", "novel", "seen"] = Field(
        "unseen", description="unseen: val classes where the data have some, else novel ones; novel: a last judgement,"
        " val classes are trained on; seen: training classes on other scenes"
    )  # fmt: skip
    scenes: int = Field(0, ge=0, le=1_000_000, description="Scenes that are judged, the first ones; 0: all")
    pixel_offset: Literal[0, 1] = Field(0, description="Pixels added to every side of a box. [P] 1")
    precision_goal: float = Field(0.9, gt=0, le=1, description="Precision that score thresholds are calibrated for")
    raw: bool = Field(True, description="Store the boxes before NMS, for raybayes rescore")
    most_raw: int = Field(
        10_000_000, ge=1, le=10_000_000_000, description="Boxes that raw may hold, 72 bytes each; more are refused"
    )  # fmt: skip
    pictures: int = Field(4, ge=0, le=100, description="Scenes whose detections the report draws")


class Values(Group):
    """The whole configuration."""

    dataset: Literal["grocery-sample", "oneshot-sample", "oneshot-cards", "oneshot-logos", "shelf-demo"] | None = Field(
        "grocery-sample", description="Scenes synthesised from product pictures, or photos; null: your own files"
    )
    steps: int = Field(400, ge=0, le=10_000_000, description="Updates; 0: the untrained model. [P] 200,000")
    reports: int = Field(4, ge=1, le=10_000, description="Evaluations after the first one, which comes before training")
    batch_size: int = Field(1, ge=1, le=256, description="Scenes of an update, per worker. [P] 4")
    class_batch_size: int = Field(5, ge=1, le=256, description="Class images of an update, at most. [P] 15")
    files: FileValues = Field(default_factory=FileValues, description="Your own data")
    synth: SynthValues = Field(default_factory=SynthValues, description="Values of grocery-sample")
    model: ModelValues = Field(default_factory=ModelValues, description="The network")
    targets: TargetValues = Field(default_factory=TargetValues, description="Assignment")
    loss: LossValues = Field(default_factory=LossValues, description="Loss")
    patch: PatchValues = Field(default_factory=PatchValues, description="Augmentation")
    mining: MiningValues = Field(default_factory=MiningValues, description="Hard patches")
    optim: OptimValues = Field(default_factory=OptimValues, description="Optimiser")
    inference: InferenceValues = Field(default_factory=InferenceValues, description="Detection")
    evaluation: EvaluationValues = Field(default_factory=EvaluationValues, description="Evaluation")

    @property
    def levels(self) -> tuple[float, ...]:
        """Scales of the image pyramid, relative to the evaluation scale."""
        return self.inference.levels or PYRAMIDS[self.inference.pyramid]


def max_steps(config: Values) -> int:
    """Reports of a full run: one before training, then `reports`, or fewer where there are fewer updates."""
    return 1 + min(config.reports, config.steps)
