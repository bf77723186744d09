"""Combinations of values that cannot run; each is refused with one sentence before a trial starts."""

from __future__ import annotations

from raybayes.contract import require_entries
from trainables.autoregressive.config.values import CostName, PolicyName, TaskName, Values

# task (or spelling's noise) -> its data sets, the embedded sample first
DATA: dict[str, tuple[str, ...]] = {
    "ocr": ("letters-sample", "letters"),
    "spelling": ("spelling-sample", "spelling"),
    "noise": ("multi30k-sample", "multi30k"),
    "translation": ("multi30k-sample", "multi30k"),
    "ordering": ("multi30k-sample", "multi30k"),
    "chunking": (),
}
# task -> the costs that fit it, that of its metric first
COSTS_OF: dict[TaskName, tuple[CostName, ...]] = {
    "ocr": ("hamming", "hamming_count"),
    "spelling": ("edit", "bleu", "bleu1", "bleu1_searnn", "gleu"),
    "translation": ("bleu", "bleu1", "bleu1_searnn", "gleu", "edit"),
    "ordering": ("kendall",),
    "chunking": ("hamming", "hamming_count", "chunk_f1"),
}
# cost -> the reference policies that fit it, the usual one first
FITTING: dict[CostName, tuple[PolicyName, ...]] = {
    "hamming": ("copy",),
    "hamming_count": ("copy",),
    "edit": ("edit-optimal", "best-suffix-bleu", "best-suffix-bleu1", "best-suffix-gleu", "copy"),
    "bleu": ("best-suffix-bleu", "best-suffix-bleu1", "best-suffix-gleu", "edit-optimal", "copy"),
    "bleu1": ("best-suffix-bleu1", "best-suffix-bleu", "best-suffix-gleu", "edit-optimal", "copy"),
    "bleu1_searnn": ("best-suffix-bleu1", "best-suffix-bleu", "best-suffix-gleu", "edit-optimal", "copy"),
    "gleu": ("best-suffix-gleu", "best-suffix-bleu", "best-suffix-bleu1", "edit-optimal", "copy"),
    "kendall": ("align-order",),
    "chunk_f1": ("max-f1", "copy"),
}


require_entries(TaskName, set(DATA) - {"noise"}, "trainables/autoregressive/config/rules.py: DATA")
require_entries(TaskName, COSTS_OF, "trainables/autoregressive/config/rules.py: COSTS_OF")
require_entries(CostName, FITTING, "trainables/autoregressive/config/rules.py: FITTING")


def problem(config: Values) -> str | None:
    """Why a configuration cannot run, or None."""
    for check in (_data, _model, _cost, _policy, _tokens, _method, _length, _progress):
        if sentence := check(config):
            return sentence
    return None


def cost_of(config: Values) -> CostName:
    """The cost; that of the task's metric by default."""
    return config.cost or COSTS_OF[config.task][0]


def policy_of(config: Values) -> PolicyName:
    """The reference policy; the cost's usual one by default."""
    return config.reference or FITTING[cost_of(config)][0]


def dataset_of(config: Values) -> str:
    """The data set; the task's embedded sample by default."""
    return config.dataset or DATA[_kind(config)][0]


def _kind(config: Values) -> str:
    return "noise" if config.task == "spelling" and config.spelling.errors == "noise" else config.task


def _data(config: Values) -> str | None:
    allowed = DATA[_kind(config)]
    if config.dataset is None:
        if not allowed:
            return "task = chunking has no sample; set dataset to a Parquet file with columns split, tokens, tags."
        return None
    if config.dataset.endswith(".parquet") or config.dataset in allowed:
        return None
    named = " or ".join(allowed) + (" or " if allowed else "") + "the path of a Parquet file"
    return f"dataset = {config.dataset} does not fit task = {config.task}; allowed: {named}."


def _model(config: Values) -> str | None:
    model = config.model
    if (config.task == "ordering") != (model.kind == "pointer"):
        if config.task == "ordering":
            return (
                f"task = ordering needs model.kind = pointer, whose outputs are places of the source; found"
                f" {model.kind}."
            )
        return f"model.kind = pointer is for task = ordering only; for task = {config.task} use gru or transformer."
    if model.kind == "transformer" and model.attention != "none":
        return (
            f"model.attention = {model.attention} applies to GRUs; a transformer has its own: use"
            f" model.attention = none."
        )
    if model.kind == "transformer" and model.hidden % model.heads:
        return f"model.hidden = {model.hidden} is not a multiple of model.heads = {model.heads}; change one of them."
    if model.kind == "pointer" and model.attention == "none":
        return "model.kind = pointer needs attention; set model.attention = dot or additive."
    return None


def _cost(config: Values) -> str | None:
    allowed = COSTS_OF[config.task]
    if config.cost is None or config.cost in allowed:
        return None
    return f"cost = {config.cost} does not fit task = {config.task}; allowed: {', '.join(allowed)}."


def _policy(config: Values) -> str | None:
    cost = cost_of(config)
    if config.reference is None or config.reference in FITTING[cost]:
        return None
    fitting = ", ".join(FITTING[cost])
    return f"reference = {config.reference} does not fit cost = {cost}; allowed: {fitting}."


def _tokens(config: Values) -> str | None:
    tokens = config.tokens
    if config.loss == "ll-all" and config.task == "ordering":
        return "loss = ll-all normalises over all tokens, including those already used in the order; use ll."
    if tokens.mode == "biased" and tokens.k < 2:
        return (
            "tokens.mode = biased reserves one of tokens.k places for the ground truth and needs tokens.k >= 2; found"
            " 1."
        )
    return None


def _method(config: Values) -> str | None:
    if config.label_smoothing and config.method != "mle":
        return f"label_smoothing applies to method = mle; found {config.method}: set it to 0, or change the method."
    if config.label_smoothing and config.task == "ordering":
        return (
            "label_smoothing spreads over all tokens, including those already used in the order; set it to 0 for"
            " task = ordering."
        )
    if config.method == "ocd" and config.task not in ("ocr", "chunking", "spelling", "translation"):
        return (
            "method = ocd distils the edit or Hamming distance and needs task = spelling, translation, ocr or chunking."
        )
    return None


def _length(config: Values) -> str | None:
    if config.warm_start >= config.iterations and config.cpu_seconds is None and config.method != "mle":
        return (
            f"warm_start = {config.warm_start} leaves no iterations to the method (iterations = {config.iterations});"
            f" lower warm_start, or raise iterations."
        )
    return None


def _progress(config: Values) -> str | None:
    if config.cpu_seconds is not None and config.lr_decay == "cosine":
        return "lr_decay = cosine needs a known last iteration, but cpu_seconds is set; use plateau or none."
    return None
