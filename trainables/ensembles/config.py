"""Every hyperparameter of the ensemble study: what it means, its unit, its range, and where its value comes from.

Shared values are flat; the values of one method stand in a group of that method's name and count only under it.
"[P]" marks the setting of the paper's released code (Ashukha, Lyzhov, Molchanov, Vetrov, "Pitfalls of In-Domain
Uncertainty Estimation and Ensembling in Deep Learning", ICLR 2020, arXiv 2002.06470); `recipes.paper` gives its whole
set of values for CIFAR. A default without the mark is the setting for 2,000 MNIST images on a processor, which the
paper does not cover.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Method = Literal["single", "deep_ensemble", "snapshot"]
Architecture = Literal[
    "cnn", "lenet", "resnet20", "vgg16bn", "preresnet110", "preresnet164", "wrn28x10", "resnet50"
]
DataSetName = Literal["mnist-sample", "mnist", "cifar10-sample", "cifar10", "cifar10-lossless"]


class Group(BaseModel):
    """A frozen group of values in which a wrong name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Snapshot(Group):
    """Snapshot ensembles (Huang et al. 2017, arXiv 1704.00109): one run, cosine warm restarts, a member a cycle."""

    max_lr: float = Field(0.2, gt=0, le=10, description="Learning rate at the start of a cycle. [P] 0.2")
    cycle_epochs: int = Field(5, ge=1, le=1000, description="Length of a cycle in epochs. [P] 40")
    momentum: float = Field(0.0, ge=0, lt=1, description="Momentum of SGD inside the cycles. [P] 0")
    cold_restarts: bool = Field(False, description="Begin each cycle from a fresh initialisation and a fresh optimiser")
    skip_cycles: int = Field(0, ge=0, le=100, description="Number of first cycles that yield no member")


class Config(Group):
    """The configuration of one run: data, method, architecture, training, and one group of values a method."""

    dataset: DataSetName = Field("mnist-sample", description="Images to train on; cifar10 is a lossy JPEG copy")
    train_images: int = Field(0, ge=0, description="Images of the training split to use, drawn by split_seed; 0 = all")
    test_images: int = Field(
        0, ge=0, description="Images of the test split to score, drawn by split_seed; 0 = all. [P] all; at least 4"
    )
    validation: float = Field(
        0.2, gt=0, lt=1, description="Share of the training images held out for the objective. [P] 0.1 of 50,000"
    )
    split_seed: int = Field(
        0, ge=0, description="Seed of the held-out split and of cross-validation; equal in all trials that are compared"
    )

    method: Method = Field("deep_ensemble", description="How the members come about")
    members: int = Field(4, ge=1, le=1000, description="Ensemble size K. [P] 100 on CIFAR, 50 on ImageNet")
    arch: Architecture = Field("cnn", description="Network; cnn = conv5x5/2(8) conv5x5/2(16) FC64 FC")

    epochs: int = Field(20, ge=1, le=10_000, description="Epochs of one ordinary training run. [P] 300, VGG16BN 400")
    batch: int = Field(64, ge=1, description="Images in a step of SGD. [P] 128; 64 for snapshot and csgld")
    lr: float = Field(0.05, gt=0, le=10, description="First learning rate. [P] 0.1, VGG16BN 0.05")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of SGD. [P] 0.9")
    wd: float = Field(5e-4, ge=0, le=1, description="Weight decay in SGD. [P] 5e-4, PreResNets 3e-4")
    augment: bool = Field(True, description="Random shifts by 2 pixels (MNIST); pad 4, crop, flip (CIFAR). [P] on")
    tta: bool = Field(
        False, description="Each member sees a fresh random draw of the training augmentation at test time. [P] both"
    )

    sse: Snapshot = Field(default_factory=Snapshot, description="Values of method snapshot")

    @model_validator(mode="after")
    def _possible(self) -> Config:
        if problem := self.problem():
            raise ValueError(problem)
        return self

    def problem(self) -> str | None:
        """Why this combination cannot run, or None."""
        if 0 < self.test_images < 4:
            return f"test_images = {self.test_images}, but cross-validation needs at least 4; raise it, or use 0 (all)."
        if self.arch == "vgg16bn" and self.dataset.startswith("mnist"):
            return "arch = vgg16bn halves its input five times and needs 32 pixels, MNIST has 28; choose another arch."
        if self.tta and not self.augment:
            return (
                "tta = true repeats the training augmentation at test time, but augment = false trains without one,"
                " and a network that never saw it fails on it; set augment = true or tta = false."
            )
        return None
