"""Every hyperparameter of the autoregressive project: its meaning, unit, range, and where its value comes from.

"[C]" marks a value of the SeaRNN code (RemiLeblond/SeaRNN-open), "[S]" our suggestion.
"""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

TaskName = Literal["ocr", "spelling", "translation", "ordering", "chunking"]
Method = Literal[
    "searnn",
    "mle",
    "scheduled_sampling",
    "reinforce",
    "self_critical",
    "mixer",
    "minimum_risk",
    "ocd",
]
LossName = Literal[
    "ll",
    "ll-all",
    "kl",
    "llcas",
    "hinge",
    "inv-kl",
    "js",
    "l2",
    "risk",
    "rank-logistic",
    "rank-margin",
    "listmle",
]
CostName = Literal[
    "hamming",
    "hamming_count",
    "edit",
    "bleu",
    "bleu1",
    "bleu1_searnn",
    "gleu",
    "kendall",
    "chunk_f1",
]
PolicyName = Literal[
    "copy",
    "best-suffix-bleu",
    "best-suffix-bleu1",
    "best-suffix-gleu",
    "max-f1",
    "edit-optimal",
    "align-order",
]

ModelKind = Literal["gru", "transformer", "pointer"]
RollInName = Literal["gt", "learned", "mixed", "mixed-cells", "sampled"]
RollOutName = Literal["learned", "reference", "mixed", "matched", "focused"]
ScheduleName = Literal["none", "linear", "sigmoid", "exponential"]
TokenMode = Literal["all", "uniform", "policy", "biased", "topk", "neighbours", "union", "targeted"]
Transform = Literal["raw", "ranks", "best-vs-rest"]


class Group(BaseModel):
    """A frozen group of values in which a wrong name is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelValues(Group):
    """The encoder-decoder."""

    kind: ModelKind = Field(
        "gru", description="GRU; small pre-norm Transformer; or GRU that points at source places (ordering only)"
    )
    attention: Literal["none", "additive", "dot"] = Field(
        "none", description="Of a GRU: none (OCR), additive [C], or dot (the fastest in roll-outs)"
    )
    hidden: int = Field(
        128, ge=4, le=2048, description="Units of encoder (each direction), decoder and embeddings. [C]"
    )
    layers: int = Field(1, ge=1, le=8, description="Layers of encoder and decoder. [C] 1, large 2")
    bidirectional: bool = Field(True, description="Read the source both ways. [C] for translation")
    heads: int = Field(4, ge=1, le=32, description="Attention heads of the Transformer; they divide hidden. [S]")
    dropout: float = Field(0.0, ge=0, lt=1, description="On embeddings and between layers. [C] 0, translation 0.3")


class TokenValues(Group):
    """Which tokens are tried in each cell."""

    mode: TokenMode = Field("all", description="How tokens are chosen; union is the SeaRNN code's mixture")
    k: int = Field(
        5, ge=1, le=1000, description="Tokens per cell of uniform, policy, biased, topk; uniform tokens of union"
    )
    top: int = Field(15, ge=0, le=1000, description="Likeliest tokens of union. [C] 15")
    reach: int = Field(5, ge=0, le=50, description="neighbours, union: ground truth tokens at t - n .. t + n. [C] 5")
    threshold: float = Field(
        0.1, ge=0, le=1, description="targeted: largest distance from the cell's largest probability"
    )
    most: int = Field(500, ge=1, description="targeted: most tokens per sentence; more are thinned at random")


class OcrValues(Group):
    """Handwritten words, letter by letter."""

    split: Literal["fold", "words"] = Field(
        "fold", description="Test on one fold (its words all occur in training), or on unseen words"
    )
    fold: int = Field(0, ge=0, le=8, description="fold: the test fold")
    held_out: int = Field(11, ge=1, le=40, description="words: test words, of 55; half as many validate")
    split_seed: int = Field(0, ge=0, description="Chooses the held-out words, or the validating rows of fold")


class SpellingValues(Group):
    """Misspelt characters to correct ones."""

    errors: Literal["typos", "noise"] = Field(
        "typos", description="Real misspellings, or 10-character chunks with noise"
    )
    longest: int = Field(16, ge=4, le=60, description="typos: longer words, in characters, are left out")
    noise: float = Field(0.3, ge=0, le=1, description="noise: probability that a character is replaced")
    chunk: int = Field(10, ge=2, le=60, description="noise: characters per chunk")


class TranslationValues(Group):
    """Captions from one language to the other."""

    direction: Literal["en-de", "de-en"] = Field("en-de", description="Source and target language")
    min_count: int = Field(2, ge=1, le=100, description="Rarer words become <unk>. 2 leaves 7,855 de, 5,917 en")
    longest: int = Field(50, ge=2, le=60, description="Longer training pairs, in words, are left out. [C] 50")
    test: Literal["test_2016_flickr", "test_2017_flickr", "test_2017_mscoco", "test_2018_flickr"] = Field(
        "test_2016_flickr", description="Test split of the last report"
    )


class OrderingValues(Group):
    """The words of a caption, shuffled, back in order."""

    language: Literal["en", "de"] = Field("en", description="Language of the captions")
    longest: int = Field(20, ge=3, le=40, description="Longer captions, in words, are left out. [S] 20")
    min_count: int = Field(2, ge=1, le=100, description="Rarer words become <unk>")


class Values(BaseModel):
    """The whole configuration. Defaults: OCR with SeaRNN's LL, learned roll-in, mixed roll-out, all tokens."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: TaskName = Field("ocr", description="What is learned")
    dataset: str | None = Field(
        None, description="Data set of the task or a Parquet file with its columns; null: the task's embedded sample"
    )
    train_rows: int | None = Field(None, ge=1, description="Training rows to use; null: all")
    eval_rows: int | None = Field(None, ge=1, description="Rows of validation and test to score; null: all")
    model: ModelValues = Field(default_factory=ModelValues, description="The encoder-decoder")
    method: Method = Field("searnn", description="Cost-sensitive training, or a baseline")

    rollin: RollInName = Field(
        "learned", description="searnn: what the decoder is fed. [C] learned for OCR, gt for translation"
    )
    rollin_probability: float = Field(
        0.5, ge=0, le=1, description="Probability of the reference in mixed roll-ins. [C] 0.5"
    )
    rollin_schedule: ScheduleName = Field(
        "none", description="Schedule of that probability; none keeps it. [C] none, sigmoid, exponential"
    )
    rollout: RollOutName = Field("mixed", description="searnn: how tried tokens are finished. [C] mixed")
    rollout_probability: float = Field(
        0.5, ge=0, le=1, description="Probability of the reference in mixed and matched roll-outs. [C] 0.5"
    )
    focus_steps: int = Field(1, ge=0, le=100, description="focused: steps by the model before the reference continues")
    focus_growth: float = Field(0.0, ge=0, le=1, description="focused: steps added per iteration")
    reference: PolicyName | None = Field(None, description="Reference policy; null: the usual one of the cost")
    cost: CostName | None = Field(None, description="Cost of a sequence; null: that of the task's metric")
    transform: Transform = Field("raw", description="Transform of a cell's costs")
    loss: LossName = Field("ll", description="searnn: loss of a cell. [C] ll for OCR, kl for translation")
    temperature: float = Field(
        50.0,
        gt=0,
        le=1e6,
        description="Cost scale T_c, which multiplies costs in kl, llcas, hinge, inv-kl, js, l2, rank-margin",
    )
    list_length: int = Field(5, ge=1, le=1000, description="listmle: number of cheapest tokens that are ranked")
    cells: int = Field(100, ge=1, le=1000, description="Trained cells per sentence. [C] 100, translation 20")
    tokens: TokenValues = Field(default_factory=TokenValues, description="Tokens tried in a cell")
    averaging: Literal["sentences", "cells"] = Field(
        "sentences",
        description="Mean over a sentence's cells, then sentences; or over all cells. [C] cells for translation",
    )
    tie_noise: float = Field(1e-5, ge=0, le=1, description="Deviation of the noise that breaks ties. [C] 1e-5")
    chunk: int = Field(8192, ge=1, le=1 << 22, description="Roll-outs in memory at once; does not change results")

    label_smoothing: float = Field(0.0, ge=0, lt=1, description="mle: share of the target spread over all tokens")
    samples: int = Field(5, ge=1, le=100, description="reinforce, self_critical, minimum_risk: samples per sentence")
    sharpness: float = Field(0.005, gt=0, le=10, description="minimum_risk: exponent alpha of p")
    baseline_momentum: float = Field(
        0.95, ge=0, lt=1, description="reinforce, mixer: share of the past in the baseline"
    )
    mixer_step: int = Field(2, ge=1, le=50, description="mixer: places that switch to REINFORCE at a time")
    mixer_every: int = Field(100, ge=1, description="mixer: iterations between switches")
    warm_start: int = Field(
        0, ge=0, description="Iterations of MLE before the method begins; no effect on mle. [S] 0 .. 1000"
    )

    batch: int = Field(64, ge=1, le=4096, description="Sentences per step, over all workers. [C] 64")
    pool: int = Field(1, ge=1, le=10_000, description="Batches sorted by length together, for speed; 1: no sorting")
    iterations: int = Field(1000, ge=1, le=10_000_000, description="Training steps. [C] 10,000")
    cpu_seconds: float | None = Field(
        None, gt=0, description="Stop after this processor time of training instead of `iterations`; not reproducible"
    )
    reports: int = Field(10, ge=1, le=10_000, description="Reports of a run, evenly spaced")
    test_every_report: bool = Field(False, description="Score the test sentences at every report, for curves")
    optimiser: Literal["adam", "sgd"] = Field("adam", description="[C] adam")
    lr: float = Field(1e-3, gt=0, le=10, description="Step size. [C] 1e-3")
    lr_warmup: int = Field(
        0, ge=0, description="Iterations until the full step size, linearly. [S] 500 for Transformers"
    )
    lr_decay: Literal["none", "cosine", "plateau"] = Field(
        "none", description="Decay of the step size; plateau halves it when validation stops improving. [C] plateau"
    )
    patience: int = Field(3, ge=0, le=1000, description="plateau: reports without improvement before it halves")
    clip: float = Field(5.0, gt=0, le=1e6, description="Largest norm of the gradient. [C] 5")

    beam: int = Field(1, ge=1, le=100, description="Hypotheses kept in validation and test; 1: greedy. [C] 1, 10")
    length_penalty: float = Field(0.0, ge=0, le=2, description="beam: compare sum / length^penalty")
    beam_scale: float = Field(1.0, gt=0, le=100, description="beam: scale of the scores. [C] 2.4 for SeaRNN's models")

    ocr: OcrValues = Field(default_factory=OcrValues, description="Values of task ocr")
    spelling: SpellingValues = Field(default_factory=SpellingValues, description="Values of task spelling")
    translation: TranslationValues = Field(default_factory=TranslationValues, description="Values of task translation")
    ordering: OrderingValues = Field(default_factory=OrderingValues, description="Values of task ordering")


def max_steps(config: Values) -> int:
    """Reports of a full run."""
    return config.reports if config.cpu_seconds is not None else min(config.reports, config.iterations)


def grace_period(config: Values) -> int:
    """Learned roll-ins are poor at first, and so are all methods before the warm start ends: stop trials after both."""
    slow = config.iterations // 3 if config.method in ("searnn", "ocd") and config.rollin != "gt" else 0
    begin = min(config.iterations, config.warm_start + slow)
    return 1 + begin * max_steps(config) // config.iterations
