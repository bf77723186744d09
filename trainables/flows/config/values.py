"""Every hyperparameter of the flows: what it means, its unit, its range, and where its value comes from.

"[P]" marks the paper's released configuration for MNIST (Atanov et al. 2019, arXiv 1905.00505), which the preset
"paper" has. The defaults below are those of the preset "toy": two moons.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from trainables.flows.config.objectives import OBJECTIVES, Objective, Traits
from trainables.flows.config.presets import PresetName, completed

TrunkKind = Literal["masked_glow", "glow", "couplings", "identity", "ode"]
HeadKind = Literal["flow", "shift", "ode"]
NetKind = Literal["resnet", "glow"]
OptimiserName = Literal["adamax", "adam"]
ScheduleName = Literal["linear", "cosine", "none"]


class Group(BaseModel):
    """A frozen group of values in which a wrong name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class TrunkValues(Group):
    """f: the deep, unconditional part of the flow, which runs once for all classes."""

    kind: TrunkKind = Field(
        "couplings", description="Pictures: masked_glow [P] or glow; vectors: couplings or ode; both: identity"
    )
    levels: int = Field(3, ge=1, le=6, description="Resolutions of masked_glow ([P] 3), squeezes of glow")
    checkerboards: int = Field(3, ge=0, le=16, description="Checkerboard couplings per level of masked_glow. [P] 3")
    steps: int = Field(5, ge=1, le=64, description="Channel couplings per level ([P] 2; toys 5 in all)")
    net: NetKind = Field("resnet", description="Nets on pictures: 3x3 residual [P], or 3x3-1x1-3x3")
    width: int = Field(64, ge=1, le=2048, description="Hidden channels of the nets. [P] 64, toys 64")
    blocks: int = Field(
        2, ge=1, le=16, description="Residual blocks ([P] 4); hidden layers of nets on vectors (toys 2)"
    )
    zero: bool = Field(False, description="Nets on vectors end in zeros and use ReLU; [P] false for toys")
    mix: Literal["lu", "dense"] = Field("lu", description="Form of the 1x1 mixing matrix. [P] dense")
    start: Literal["eye", "orthogonal"] = Field("eye", description="Initial mixing matrix. [P] eye")


class HeadValues(Group):
    """h: the small conditional part, which runs once per class."""

    kind: HeadKind = Field(
        "flow", description="Conditional couplings [P], a Gaussian mean per class, or a conditional continuous flow"
    )
    levels: int = Field(1, ge=1, le=6, description="Levels; half of the dimensions leave after each. [P] 2, toys 1")
    steps: int = Field(2, ge=1, le=32, description="Steps of ActNorm, mixing and conditional coupling per level. [P] 4")
    width: int = Field(64, ge=1, le=2048, description="Hidden units. [P] 256")
    blocks: int = Field(1, ge=1, le=16, description="Residual blocks of a net, or layers of the ode's field. [P] 4")
    embedding: Literal["learned", "one_hot"] = Field(
        "learned", description="Label table, from the identity. [P] learned"
    )
    label_scale: float | None = Field(
        1.0, ge=0, le=100, description="Initial deviation of what a label adds to a net; null: as concatenated [P]"
    )
    spread: float = Field(2.0, ge=0, le=100, description="Initial deviation of the class means of kind shift")


class LossValues(Group):
    """Weights of the objectives' terms, in nats; each description names the objectives that use it."""

    label: float = Field(
        1.0, gt=0, le=1e4, description="weighted: weight of a labelled example relative to an unlabelled one. [P] 1"
    )
    ce: float = Field(
        10.0, ge=0, le=1e4, description="hybrid: cross-entropy of the labelled examples. [P] 0; useful: 10 to 100"
    )
    entropy: float = Field(1.0, ge=0, le=1e4, description="entropy: H[p(y|x)] of the unlabelled examples")
    balance: float = Field(1.0, ge=0, le=1e4, description="kl-balance: KL(mean of p(y|x) of the unlabelled || p(y))")
    balance_entropy: float = Field(0.0, ge=0, le=1e4, description="kl-balance: H[p(y|x)] of the unlabelled examples")
    consistency: float = Field(1.0, ge=0, le=1e4, description="flowgmm-cons: -log p(x', label guessed at x'')")
    ramp: float = Field(0.3, ge=0, le=1, description="flowgmm-cons: share of the run in which its weight rises from 0")


class Values(BaseModel):
    """The whole configuration."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    preset: PresetName = Field(
        "toy", description="Named set of values for the fields below; by default the one that suits `dataset`"
    )
    dataset: str = Field(
        "moons", description="moons, circles, an MNIST or CIFAR-10 data set, or the path of a .parquet"
    )
    labels: int = Field(10, ge=0, description="Training examples that keep their label; 0: all that have one. [P] 100")
    split: Literal["balanced", "proportional"] = Field(
        "balanced", description="Equally many labels per class, or in proportion to the classes [P]"
    )
    split_seed: int = Field(0, ge=0, description="Chooses the labelled and the validation examples")
    labelled_rows: str | None = Field(
        None, description="Which rows are labelled: a column of true and false, or a file of row numbers; null: drawn"
    )
    validation: int | None = Field(
        500, ge=0, description="Examples held out for validation; 0: none; null: a fifth per class of a file"
    )
    columns: tuple[str, ...] = Field((), description="Columns of a file that the flow sees; empty: all numbers")
    ignore: tuple[str, ...] = Field((), description="Columns of a file that it does not see")
    points: int = Field(1000, ge=20, le=1_000_000, description="Training points of moons and circles")
    spread: float = Field(0.1, gt=0, le=1, description="Standard deviation of their noise. [P] 0.1")
    classes: int | None = Field(None, description="Number of classes; null: those of the data set")
    prior: Literal["uniform", "labelled", "given"] = Field(
        "uniform", description="p(y): uniform (the paper's text), frequencies of the labelled (its code), prior_given"
    )
    prior_given: tuple[float, ...] = Field((), description="prior = given: p(y) of each class, adding up to 1")
    pca: int = Field(0, ge=0, le=4096, description="Principal components that replace the pixels; 0: none")
    whiten: float = Field(0.5, ge=0, le=1, description="Power of 1/deviation that each component is scaled by")
    shrink: int = Field(1, ge=1, le=8, description="Side of the pixel blocks that are averaged into one pixel")
    pad: int = Field(0, ge=0, le=16, description="Black pixels added at each edge, after shrinking")
    alpha: float = Field(0.05, gt=0, lt=1, description="Margin of the logit of pictures. [P] 0.05")
    trunk: TrunkValues = Field(default_factory=TrunkValues, description="f, the unconditional part")
    head: HeadValues = Field(default_factory=HeadValues, description="h, the conditional part")
    bound: Literal["tanh", "sigmoid", "half"] = Field(
        "tanh",
        description="Range of scales: tanh 0.14..7.4, sigmoid 0.01..1, half 0.5..1 (deep flows). [P] sigmoid, no floor",
    )
    objective: Objective = Field("generative", description="What is minimised. [P] generative")
    loss: LossValues = Field(default_factory=LossValues, description="Weights of its terms")
    batch: int = Field(192, ge=2, le=65_536, description="Examples per step, over all workers. [P] 256")
    labelled_share: float = Field(
        1 / 3, gt=0, le=1, description="Labelled share of a batch; 1: trained on labels only. [P] 1/3"
    )
    steps: int = Field(800, ge=1, le=10_000_000, description="Number of updates. [P] 117,500")
    optimiser: OptimiserName = Field("adamax", description="[P] adamax")
    lr: float = Field(1e-2, gt=0, le=1, description="Step size. [P] 1e-3; toys 5e-3 to 1e-2")
    schedule: ScheduleName = Field("linear", description="Decay of the step size to 0 over the run. [P] linear")
    warmup: int = Field(0, ge=0, le=100_000, description="Updates in which the step size rises from 0. [P] 0")
    weight_decay: float = Field(
        1e-5, ge=0, le=1, description="L2 penalty of matrices and kernels only. [P] 1e-5, on all"
    )
    clip: float = Field(100.0, gt=0, le=1e6, description="Largest gradient norm. [P] 100")
    input_noise: float = Field(0.0, ge=0, le=2, description="Deviation of Gaussian noise on vectors, in training only")
    crop: int = Field(0, ge=0, le=8, description="Largest shift of pictures in pixels, in training only. [P] 0")
    precision: Literal["float32", "bfloat16"] = Field(
        "float32", description="Number format inside the nets, in training only"
    )
    recompute: bool = Field(False, description="Recompute nets in the backward pass: less memory, more time")
    class_chunk: int = Field(0, ge=0, description="Classes that h evaluates at once; 0: all")
    reports: int = Field(10, ge=1, le=10_000, description="Reports of a run, evenly spaced")
    eval_draws: int = Field(1, ge=1, le=64, description="Noise draws per picture, averaged in the reported bpd")
    controls: bool = Field(True, description="Score logistic regression and 1-NN on the same labels at the end")
    keep_weights: bool = Field(True, description="Store the trained flow (4 bytes a parameter) to sample from it later")

    @field_validator("columns", "ignore", mode="before")
    @classmethod
    def _listed(cls, value: Any) -> Any:
        """Names separated by commas, as one writes them on the command line."""
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("prior_given", mode="before")
    @classmethod
    def _shares(cls, value: Any) -> Any:
        return tuple(part for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @model_validator(mode="before")
    @classmethod
    def _with_preset(cls, values: Any) -> Any:
        return completed(values) if isinstance(values, dict) else values

    @property
    def traits(self) -> Traits:
        """What is known of the objective."""
        return OBJECTIVES[self.objective]

    @property
    def labelled(self) -> int:
        """Labelled examples per batch."""
        return self.batch if self.labelled_share == 1 else max(1, round(self.labelled_share * self.batch))

    @property
    def unlabelled(self) -> int:
        """Unlabelled examples per batch."""
        return self.batch - self.labelled


def max_steps(config: Values) -> int:
    """Reports of a full run."""
    return config.reports
