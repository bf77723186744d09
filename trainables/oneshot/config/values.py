"""Every hyperparameter of the one-shot detector: its meaning, its unit, its range, and the source of its default.

"[P]" marks the published setting (Osokin et al. 2020, arXiv 2003.06800, and its released code, model V1). The defaults
are a preset that learns on one CPU core in minutes.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from trainables.oneshot.geometry.windows import Sampling
from trainables.oneshot.model.backbones import BackboneName
from trainables.oneshot.model.head import Precision, Transform
from trainables.oneshot.model.losses import Objective

ClassViews = Literal["none", "horflip", "rotation90", "horflip_rotation90"]
DataSetName = Literal["grocery-sample", "oneshot-sample", "oneshot-cards", "oneshot-logos", "shelf-demo"]
FileFormat = Literal["csv", "voc", "yolo", "flickr_logos"]
JudgedClasses = Literal["unseen", "novel", "seen"]
OptimiserName = Literal["adam", "sgd"]
Preset = Literal["easy", "hard"]
PYRAMIDS: dict[int, tuple[float, ...]] = {
    1: (1.0,),
    3: (0.625, 1.0, 1.6),
    5: (0.5, 0.75, 1.0, 1.3, 1.6),
    7: (0.5, 0.625, 0.8, 1.0, 1.2, 1.4, 1.6),
}


class Group(BaseModel):
    """A frozen group of values that refuses unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class FileValues(Group):
    """Your own data. Set dataset = null with it."""

    format: FileFormat | None = Field(
        None,
        description="Format of the annotations: table of boxes, VOC XML, YOLO txt, FlickrLogos-27 txt; null: unused",
    )
    annotations: str = Field("", description="File (csv, flickr_logos) or folder (voc, yolo) of the boxes")
    images: str = Field("", description="Folder of the scenes")
    class_images: str = Field(
        "", description="Folder of <class>.jpg or <class>/*.jpg; empty: a crop of the largest box"
    )
    unseen: tuple[str, ...] = Field((), description="Classes excluded from training; empty: those that its scenes lack")
    skip_bad: bool = Field(
        False, description="Leave out bad rows and pictures, and name them in the log; else refuse them"
    )


class SynthValues(Group):
    """Scenes made of product pictures pasted on shop photos."""

    icons: str = Field(
        "", description="Folder of pictures to paste, one per class, with alpha or a plain ground; empty: the products"
    )  # fmt: skip
    preset: Preset = Field("hard", description="How much objects differ from their class image")
    side: int = Field(320, ge=64, le=2048, description="Pixels along a side of a scene")
    objects: int = Field(5, ge=1, le=50, description="Labelled objects in a scene, at most")
    smallest: float = Field(48.0, ge=8, le=2048, description="Least sqrt(area) of an object, pixels")
    largest: float = Field(112.0, ge=8, le=2048, description="Largest sqrt(area) of an object, pixels")
    train_scenes: int = Field(200, ge=1, le=100_000, description="Scenes to train on")
    test_scenes: int = Field(25, ge=1, le=100_000, description="Scenes with the classes excluded from training")
    seed: int = Field(0, ge=0, le=2**40, description="Seed of all scenes; the same for all seeds of a run")


class ModelValues(Group):
    """The network and the geometry of matching."""

    backbone: BackboneName = Field(
        "efficientnet_lite0_s16", description="Shared by scenes and class images. [P] resnet50_c4"
    )
    weights: str = Field(
        "packaged", description="packaged (ImageNet, only Lite0), random, or the path of a state dict. [P] ImageNet"
    )
    transform_weights: str = Field(
        "", description="State dict of TransformNet at the start; empty: identity. [P] empty"
    )
    grid_size: int = Field(7, ge=3, le=31, description="G, cells along a class image and an anchor; odd. [P] 15")
    pool_border: int = Field(1, ge=0, le=7, description="Rings of the class grid left out of the score. [P] 2")
    sampling: Sampling = Field("exact", description="Grid of the score; reference for published weights. [P] reference")
    transform: Transform = Field(
        "affine4", description="How a window may change. [P] affine4 (V1), affine6_inverse (V2)"
    )
    anchor_aspect: Literal["square", "class"] = Field("class", description="Initial shape of windows. [P] square")


class TargetValues(Group):
    """Assignment of anchors to objects."""

    positive_iou: float = Field(0.5, gt=0, lt=1, description="Least overlap of a positive anchor. [P] 0.5")
    negative_iou: float = Field(0.1, ge=0, lt=1, description="Overlap below which an anchor is negative. [P] 0.1")
    remap: bool = Field(True, description="Reassign by the predicted boxes, for recognition. [P] true")
    remap_positive_iou: float = Field(0.6, gt=0, lt=1, description="positive_iou of predicted boxes. [P] 0.8")
    remap_negative_iou: float = Field(0.3, ge=0, lt=1, description="negative_iou of predicted boxes. [P] 0.4")
    remap_after: float = Field(
        0.25, ge=0, le=1, description="Share of the steps before these two apply; until then predicted boxes are"
        " assigned like anchors. [P] 0"
    )  # fmt: skip


class LossValues(Group):
    """The loss."""

    objective: Objective = Field("rll", description="Loss of recognition. [P] rll")
    negative_margin: float = Field(0.15, ge=-1, le=1, description="Score below which negatives have no loss. [P] 0.5")
    margin_gap: float = Field(
        0.35, ge=0, le=2, description="Positive margin minus negative margin. [P] 0.1; contrastive 0.5"
    )
    ranked_ratio: float = Field(1e-3, gt=0, lt=1, description="Weight of a negative at its margin (rll). [P] 0.001")
    hard_ratio: float = Field(3.0, gt=0, le=100, description="Hardest negatives per positive (other objectives). [P] 3")
    negative_weight: float = Field(1.0, ge=0, le=100, description="Weight of the negatives' term. [P] 1")
    box_weight: float = Field(0.2, ge=0, le=100, description="Weight of the localisation loss. [P] 0.2 (V1), 0 (V2)")
    transform_on_negatives: bool = Field(False, description="Negatives train the transformations too. [P] false")


class PatchValues(Group):
    """Training patches of scenes, and class images."""

    width: int = Field(256, ge=32, le=2048, description="Pixels, a multiple of 16. [P] 600")
    height: int = Field(256, ge=32, le=2048, description="Pixels, a multiple of 16. [P] 600")
    scale_jitter: float = Field(0.7, gt=0, le=1, description="Scale is drawn from s · j to s / j. [P] 0.7")
    aspect_jitter: float = Field(0.9, gt=0, le=1, description="Aspect is drawn from j to 1 / j. [P] 0.9")
    least_coverage: float = Field(0.7, gt=0.3, le=1, description="Least share of some box in a patch. [P] 0.7")
    flips: bool = Field(False, description="Mirror scene and class images together, both ways. [P] false")
    colour: bool = Field(False, description="SSD's brightness, contrast, saturation and hue. [P] false")
    class_crops: bool = Field(False, description="Cut the edges of class images at random. [P] false")
    extra_class_images: bool = Field(False, description="Boxes of other training scenes as class images. [P] false")
    fill_classes: bool = Field(True, description="Fill the class batch with classes that the scenes lack. [P] false")


class MiningValues(Group):
    """Training on hard patches."""

    period: int = Field(0, ge=0, le=1_000_000, description="Steps between two searches; 0: none. [P] 5,000 where used")
    per_scene: int = Field(10, ge=1, le=1000, description="Patches kept of each kind and scene. [P] 10")
    scales: int = Field(2, ge=1, le=10, description="Random scales at which a scene is searched. [P] 2")
    classes: int = Field(200, ge=0, le=100_000, description="Random classes that the scene lacks. [P] 200")
    nms_iou: float = Field(0.5, gt=0, lt=1, description="Overlap above which the easier patch is dropped. [P] 0.5")


class OptimValues(Group):
    """The optimiser, and the frozen parameters."""

    name: OptimiserName = Field("adam", description="Optimiser. [P] sgd")
    backbone_lr: float = Field(5e-5, gt=0, le=1, description="Step size of the backbone. [P] 1e-4")
    transform_lr: float = Field(3e-4, gt=0, le=1, description="Step size of TransformNet. [P] 1e-4")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of sgd. [P] 0.9")
    weight_decay: float = Field(1e-4, ge=0, le=1, description="L2 penalty. [P] 1e-4")
    milestones: tuple[float, ...] = Field((), description="Shares of the steps at which step sizes fall. [P] 0.5, 0.75")
    decay: float = Field(0.1, gt=0, le=1, description="Factor at a milestone. [P] 0.1")
    max_grad_norm: float = Field(100.0, gt=0, le=1e6, description="L2 norm to which gradients are clipped. [P] 100")
    train_backbone: bool = Field(True, description="Train the backbone; else its weights are frozen. [P] true")
    frozen_blocks: int = Field(6, ge=0, le=31, description="Frozen first blocks of the backbone. [P] 0")
    freeze_transform: bool = Field(False, description="Freeze TransformNet. [P] false")
    freeze_transform_bn: bool = Field(True, description="Its BatchNorm keeps its statistics. [P] true (V2), false (V1)")


class InferenceValues(Group):
    """How a trained model searches a scene; `raybayes rescore` can tune these values later, without training."""

    eval_scale: int | None = Field(
        None, ge=16, le=20_000, description="Long side of a scene at level 1, pixels; null: from the boxes"
    )  # fmt: skip
    pyramid: Literal[1, 3, 5, 7] = Field(3, description="Levels of the image pyramid. [P] 7")
    levels: tuple[float, ...] = Field((), description="Your own levels; empty: those of the pyramid")
    nms_iou: float = Field(0.3, ge=0, le=1, description="Overlap above which the worse box is dropped. [P] 0.3")
    score_threshold: float = Field(-1.0, ge=-1, le=1, description="Lowest kept score; -1: all. [P] none")
    nms_across_classes: bool = Field(
        False, description="Also drop boxes that better boxes of other classes overlap. [P] false"
    )
    top_k: int = Field(
        300, ge=1, le=1_000_000, description="Boxes kept of each class, view and level before NMS. [P] all"
    )
    most: int = Field(300, ge=1, le=1_000_000, description="Detections kept of each class in a scene. [P] all")
    class_views: ClassViews = Field(
        "none", description="Additional views of each class image: 2, 4 or 8 in total. [P] none"
    )
    class_images: int = Field(1, ge=1, le=100, description="Pictures used per class, if there are several")
    class_batch: int = Field(
        8, ge=1, le=1000, description="Class images matched at once: bounds memory, 4 to 8 is fastest"
    )
    max_megapixels: float = Field(16.0, gt=0, le=1000, description="Largest level of a scene, in 10⁶ pixels")
    precision: Precision = Field("float32", description="TransformNet's arithmetic in inference")


class EvaluationValues(Group):
    """The evaluated classes and scenes, and the stored results."""

    classes: JudgedClasses = Field(
        "unseen", description="unseen: val classes if the data have some, else novel ones; novel: the final test, with"
        " val classes in training; seen: training classes on other scenes"
    )  # fmt: skip
    scenes: int = Field(0, ge=0, le=1_000_000, description="Number of evaluated scenes, the first ones; 0: all")
    pixel_offset: Literal[0, 1] = Field(0, description="Pixels added to every side of a box. [P] 1")
    precision_goal: float = Field(0.9, gt=0, le=1, description="Precision for which score thresholds are calibrated")
    raw: bool = Field(True, description="Store the boxes before NMS, for raybayes rescore")
    most_raw: int = Field(
        10_000_000, ge=1, le=10_000_000_000, description="Largest number of raw boxes, 72 bytes each; more are refused"
    )  # fmt: skip
    pictures: int = Field(4, ge=0, le=100, description="Scenes whose detections the report draws")


class Values(Group):
    """The configuration of one run."""

    dataset: DataSetName | None = Field(
        "grocery-sample", description="Scenes synthesised from product pictures, or photos; null: your own files"
    )
    steps: int = Field(400, ge=0, le=10_000_000, description="Updates; 0: the untrained model. [P] 200,000")
    reports: int = Field(4, ge=1, le=10_000, description="Evaluations after the first one, which precedes training")
    batch_size: int = Field(1, ge=1, le=256, description="Scenes per update and worker. [P] 4")
    class_batch_size: int = Field(5, ge=1, le=256, description="Largest number of class images per update. [P] 15")
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
