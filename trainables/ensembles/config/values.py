"""Every hyperparameter of ensembles: its meaning, its unit, its range, and the source of its default.

Shared values are flat; the values of one method are in a group named after it, and apply to that method only.
"[P]" marks the setting of the paper's released code (Ashukha, Lyzhov, Molchanov, Vetrov, "Pitfalls of In-Domain
Uncertainty Estimation and Ensembling in Deep Learning", ICLR 2020, arXiv 2002.06470); `recipes.paper` gives its whole
set of values for CIFAR. A default without the mark is the setting for 2,000 MNIST images on a processor, which the
paper does not cover.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

Method = Literal[
    "single",
    "deep_ensemble",
    "checkpoint",
    "snapshot",
    "csgld",
    "fge",
    "swa",
    "swag",
    "mc_dropout",
    "vi",
    "laplace",
    "last_layer_laplace",
    "batch_ensemble",
    "packed",
    "mimo",
]
Architecture = Literal[
    "mlp", "cnn", "lenet", "resnet20", "vgg16bn", "preresnet110", "preresnet164", "wrn28x10", "resnet50"
]
DataSetName = Literal[
    "mnist-sample",
    "mnist",
    "cifar10-sample",
    "cifar10",
    "cifar10-lossless",
    "cifar10-original",
    "cifar100",
    "imagenet",
]

Schedule = Literal["step", "decay30"]
LaplaceStructure = Literal["kron", "diag"]
Foreign = Literal["none", "letters-sample", "letters", "mnist-sample", "mnist", "cifar10-sample", "cifar10"]


class Group(BaseModel):
    """A frozen group of values that refuses unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Snapshot(Group):
    """Snapshot ensembles (Huang et al. 2017, arXiv 1704.00109): one run, cosine warm restarts, one member per cycle."""

    max_lr: float = Field(0.2, gt=0, le=10, description="Learning rate at the start of a cycle. [P] 0.2")
    cycle_epochs: int = Field(5, ge=1, le=1000, description="Length of a cycle in epochs. [P] 40")
    momentum: float = Field(0.0, ge=0, lt=1, description="Momentum of SGD inside the cycles. [P] 0")
    cold_restarts: bool = Field(False, description="Start each cycle from a fresh initialisation and a fresh optimiser")
    skip_cycles: int = Field(0, ge=0, le=100, description="Number of first cycles without a member")


class Checkpoint(Group):
    """Checkpoint ensembles (Chen, Lundberg, Lee 2017, arXiv 1710.03282): the last networks of one ordinary run."""

    every: int = Field(1, ge=1, le=1000, description="Epochs between two members; the last epoch gives one")


class CyclicalSGLD(Group):
    """Cyclical stochastic gradient Langevin dynamics (Zhang et al. 2020, arXiv 1902.03932)."""

    max_lr: float = Field(0.1, gt=0, le=10, description="Learning rate at the start of a cycle. [P] 0.5")
    cycle_epochs: int = Field(8, ge=1, le=1000, description="Length of a cycle in epochs. [P] 50")
    samples: int = Field(3, ge=1, le=100, description="Members per cycle, taken after each of its last epochs. [P] 3")
    noise_epochs: int = Field(3, ge=1, le=1000, description="Last epochs of a cycle in which noise is added. [P] 3")
    temperature: float = Field(
        0.08, ge=0, le=10, description="Of the sampled posterior; 1 = Bayes. [P] effectively 0.082 (N over 782 squared)"
    )
    momentum: float = Field(0.0, ge=0, lt=1, description="Friction is 1 - momentum; above 0 this is SGHMC. [P] 0")


class FastGeometric(Group):
    """Fast geometric ensembling (Garipov et al. 2018, arXiv 1802.10026), after an ordinary run of `epochs`."""

    pretrain: float = Field(1.0, gt=0, le=1, description="Share of `epochs` that the first stage takes. [P] 160 of 300")
    cycle_epochs: int = Field(2, ge=2, le=100, description="Epochs of a cycle, even. [P] 2 for VGG16BN, else 4")
    max_lr: float = Field(0.05, gt=0, le=10, description="Highest rate of a cycle, a1. [P] 0.05, VGG16BN 0.01")
    ratio: float = Field(0.01, gt=0, lt=1, description="Lowest rate, at the members, over max_lr: a2/a1. [P] 0.01")
    start_low: bool = Field(
        False, description="Cycles begin and end low, and the first stage's network is a member. [P] ImageNet only"
    )


class Swag(Group):
    """SWA-Gaussian (Maddox et al. 2019, arXiv 1902.02476) and stochastic weight averaging (arXiv 1803.05407)."""

    epochs: int = Field(40, ge=2, le=10_000, description="Epochs of a run, both stages. [P] 300")
    start: float = Field(0.5, gt=0, lt=1, description="Share of the epochs before collecting. [P] 160 of 300")
    lr: float = Field(0.01, gt=0, le=10, description="Constant learning rate while collecting. [P] 0.01")
    collect: Literal[1, 2, 4] = Field(1, description="Collected weights per epoch. [P] 1")
    rank: int = Field(20, ge=2, le=1000, description="Deviations kept for the low-rank part. [P] 20")
    scale: float = Field(
        0.5, gt=0, le=10, description="Scale of the sampled covariance, for both of its parts. [P] 0.5"
    )
    diag_only: bool = Field(False, description="Leave the low-rank part out")
    runs: int = Field(1, ge=1, le=1000, description="Independent runs that share the members equally (MultiSWAG)")


class DropoutValues(Group):
    """Dropout, and its use at test time (Gal, Ghahramani 2016, arXiv 1506.02142)."""

    p: float = Field(0.3, gt=0, lt=1, description="Probability of zeroing. [P] 0.5 in VGG16BN, 0.3 in WRN-28-10")
    placement: Literal["own", "every"] = Field(
        "own", description="Where the architecture's authors put it, or after every hidden layer or block. [P] own"
    )
    filterwise: bool = Field(False, description="Zero whole channels of feature maps")
    always: bool = Field(False, description="Train with dropout under every method. [P] VGG16BN only")


class Variational(Group):
    """Fully factorised Gaussian variational inference (Kingma et al. 2015, arXiv 1506.02557)."""

    init: Literal["pretrained", "scratch"] = Field(
        "pretrained", description="Start of the means: a run of `epochs`, or scratch"
    )
    epochs: int = Field(20, ge=1, le=10_000, description="Epochs of the variational stage. [P] 100")
    lr_mean: float = Field(1e-3, gt=0, le=1, description="Learning rate of the means (SGD). [P] 1e-3")
    lr_sigma: float = Field(1e-3, gt=0, le=1, description="Learning rate of log sigma (Adam). [P] 1e-3")
    log_sigma: float = Field(-5.0, ge=-20, le=0, description="log sigma starts uniformly in [this - 0.1, this]. [P] -5")
    beta: float = Field(1e-4, ge=0, le=10, description="Factor of the KL term. [P] 1e-4, 1e-5 for WRN-28-10")
    warmup_epochs: int = Field(0, ge=0, le=10_000, description="Epochs over which beta grows from 0. [P] 0")


class LaplaceValues(Group):
    """Kronecker-factored Laplace approximation (Ritter, Botev, Barber 2018, OpenReview Skdvd2xAZ)."""

    scale: float | None = Field(
        None,
        gt=0,
        le=100,
        description="Scale of the sampled deviations; null = best of 25, 0.01-10, on validation. [P] null",
    )
    prior: float = Field(1.0, gt=0, le=1e6, description="Prior precision over N · wd. [P] 1")
    structure: LaplaceStructure = Field("kron", description="Structure of each layer's curvature. [P] kron")
    subset: Literal["all", "last"] = Field("all", description="Sampled layers. [P] all")


class LastLayer(Group):
    """Laplace approximation of the last layer with its full Gauss-Newton matrix (Daxberger et al. 2021, 2106.14806)."""

    delta: float | None = Field(
        None, gt=0, le=1e6, description="Prior precision; null = the best of 25 in 1e-3 .. 1e3 by validation LL"
    )
    predict: Literal["mc", "probit"] = Field("mc", description="mc: sampled heads as members; probit: one closed form")


class BatchEnsembleValues(Group):
    """BatchEnsemble (Wen, Tran, Ba 2020, arXiv 2002.06715); an optimiser's step sees members · batch images."""

    epochs_factor: float = Field(
        1.5, gt=0, le=10, description="Epochs over `epochs`; more are needed than for one network"
    )
    init: Literal["sign", "normal"] = Field("sign", description="Fast weights start as random signs, or as N(1, 0.5)")
    sign_probability: float = Field(0.5, ge=0, le=1, description="Probability of +1 among the random signs")


class Packed(Group):
    """Packed-Ensembles (Laurent et al. 2023, arXiv 2210.09184): members are groups of one network's channels."""

    alpha: float = Field(2.0, gt=0, le=8, description="Width of the whole network over that of `arch`")
    gamma: int = Field(1, ge=1, le=8, description="Further groups inside a member")


class Mimo(Group):
    """Multi-input multi-output networks (Havasi et al. 2021, arXiv 2010.06610)."""

    input_repetition: float = Field(0.0, ge=0, le=1, description="Probability that all heads see the same image")
    batch_repetition: int = Field(1, ge=1, le=8, description="How often an image occurs in a batch")


class Values(Group):
    """The configuration of one run: data, method, architecture, training, and one group of values per method."""

    dataset: DataSetName = Field("mnist-sample", description="Images to train on; cifar10 is a lossy copy")
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
    foreign: Foreign = Field("none", description="Images of another kind to predict as well, at most as many as test")

    method: Method = Field("deep_ensemble", description="How the members are made")
    members: int = Field(4, ge=1, le=1000, description="Ensemble size K. [P] 100 on CIFAR, 50 on ImageNet")
    arch: Architecture = Field("cnn", description="Network; cnn = conv5x5/2(8) conv5x5/2(16) FC64 FC, mlp = FC64 FC")

    budget_epochs: int = Field(
        0, ge=0, description="Above 0: epochs of all members together, shared equally (deep_ensemble, snapshot)"
    )
    epochs: int = Field(20, ge=1, le=10_000, description="Epochs of one ordinary training run. [P] 300, VGG16BN 400")
    batch: int = Field(64, ge=1, description="Images in a step of SGD. [P] 128; 64 for snapshot and csgld")
    lr: float = Field(0.05, gt=0, le=10, description="First learning rate. [P] 0.1, VGG16BN 0.05")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of SGD. [P] 0.9")
    wd: float = Field(5e-4, ge=0, le=1, description="Weight decay in SGD. [P] 5e-4, PreResNets 3e-4")
    schedule: Schedule = Field(
        "step",
        description="Of ordinary training: constant, then linearly to 1 %; or a tenth every 30 epochs. [P] ImageNet",
    )
    augment: bool = Field(
        True, description="Shifts by 2 pixels (MNIST); pad 4, crop, flip (CIFAR); random cut, flip (ImageNet). [P] on"
    )
    tta: bool = Field(
        False, description="Each member sees a fresh random draw of the training augmentation at test time. [P] both"
    )

    engine: Literal["sequential", "vmap", "grouped", "auto"] = Field(
        "sequential",
        description="Members of a deep ensemble one after the other, or all of a worker's at once (mlp, cnn, lenet),"
        " equal to rounding; auto = the fastest in a few timed steps",
    )
    share: Literal["members", "images"] = Field(
        "members",
        description="Several workers divide whole members, or the images of each batch (DDP, for large networks)",
    )
    spread: float = Field(
        1.0, ge=1, le=100, description="deep_ensemble: each member draws lr and wd within this factor, log-uniformly"
    )

    training_seed: int | None = Field(
        None, ge=0, description="Seed of the training in every trial and repeat; null = each its own"
    )
    reuse_pretrained: bool = Field(
        False,
        description="Load a training from the cache folder if it is stored there, else train and store it (swag, swa,"
        " mc_dropout, laplace, last_layer_laplace); trials with the same training_seed share one",
    )

    dropout: DropoutValues = Field(
        default_factory=DropoutValues, description="Dropout of mc_dropout, or of all methods"
    )
    checkpoint: Checkpoint = Field(default_factory=Checkpoint, description="Values of method checkpoint")
    sse: Snapshot = Field(default_factory=Snapshot, description="Values of method snapshot")
    csgld: CyclicalSGLD = Field(default_factory=CyclicalSGLD, description="Values of method csgld")
    fge: FastGeometric = Field(default_factory=FastGeometric, description="Values of method fge")
    swag: Swag = Field(default_factory=Swag, description="Values of methods swa and swag")
    vi: Variational = Field(default_factory=Variational, description="Values of method vi")
    laplace: LaplaceValues = Field(default_factory=LaplaceValues, description="Values of method laplace")
    last_layer: LastLayer = Field(default_factory=LastLayer, description="Values of method last_layer_laplace")
    batch_ensemble: BatchEnsembleValues = Field(
        default_factory=BatchEnsembleValues, description="Values of method batch_ensemble"
    )
    packed: Packed = Field(default_factory=Packed, description="Values of method packed")
    mimo: Mimo = Field(default_factory=Mimo, description="Values of method mimo")

    @property
    def uses_dropout(self) -> bool:
        """Whether the network is trained with dropout."""
        return self.method == "mc_dropout" or self.dropout.always
