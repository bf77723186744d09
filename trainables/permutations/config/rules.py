"""Combinations of values that cannot run; each is refused with one sentence before a trial starts."""

from __future__ import annotations

from pathlib import Path

from raybayes.errors import DataError
from trainables.permutations.config.values import Values
from trainables.permutations.tsplib import is_tsplib, read_tsplib

_TABLE_SCORES = ("discrete_bic", "bdeu")
_OWN_FILES = {"causal": (".parquet", ".csv"), "ranking": (".parquet", ".svm", ".libsvm")}
_DATA = {"tsp": ("tsp-sample", "tsp"), "ranking": ("ltr-sample", "ltr"), "sachs": ("sachs-sample", "sachs")}


def problem(config: Values) -> str | None:
    """Why a configuration cannot run, or None."""
    for check in (
        _budget,
        _samples,
        _restarts,
        _search,
        _model,
        _critic,
        _relaxed,
        _own,
        _data,
        _tour,
        _exact,
        _causal,
    ):
        if sentence := check(config):
            return sentence
    return None


def _budget(config: Values) -> str | None:
    if config.updates < 1:
        return (
            f"evaluations = {config.evaluations} does not allow one update of {config.samples} samples in each of"
            f" {config.restarts} starts beside those of the critic; raise evaluations, or lower samples, restarts,"
            f" critic.warmup or critic.updates."
        )
    return None


def _samples(config: Values) -> str | None:
    if config.samples >= 2:
        return None
    if config.traits.leaves_one_out:
        return f"estimator = {config.estimator} uses a leave-one-out baseline and needs samples >= 2; found 1."
    if config.estimator.endswith("_centred") and config.critic.centring == "loo":
        return (
            "critic.centring = loo is a leave-one-out baseline and needs samples >= 2; found 1; use ema, or raise"
            " samples."
        )
    if config.scale_by_std:
        return "scale_by_std = true needs the standard deviation of several samples; found samples = 1."
    if config.entropy:
        return "entropy > 0 is scaled by the standard deviation of an update's costs and needs samples >= 2; found 1."
    return None


def _restarts(config: Values) -> str | None:
    if config.restarts == 1:
        return None
    if config.task == "ranking":
        return "restarts > 1 keeps the best order of several, but task = ranking trains scores; set restarts = 1."
    if config.task == "causal" and config.causal.score == "joint":
        return "restarts > 1 compares costs, which causal.score = joint changes during training; set restarts = 1."
    return None


def _search(config: Values) -> str | None:
    changes = config.task == "ranking" or (config.task == "causal" and config.causal.score == "joint")
    if (config.memory or config.descent) and (changes or config.estimator == "exact"):
        return "memory and descent search for one order at a fixed cost; leave them out for ranking, joint and exact."
    return None


def _model(config: Values) -> str | None:
    if config.model == "plackett_luce":
        return None
    if config.traits.own_model:
        return f"estimator = {config.estimator} is incompatible with model = matching; use model = plackett_luce."
    if config.traits.control_variate and (config.critic.of == "relaxed" or not config.critic.width):
        return "model = matching has no relaxation; use estimator = relax with critic.of = black_box and a network."
    if config.task == "ranking":
        return "task = ranking scores documents one by one, which model = matching cannot use; use plackett_luce."
    return None


def _critic(config: Values) -> str | None:
    critic = config.critic
    if not config.traits.control_variate or critic.of == "relaxed":
        return None
    if not config.traits.critic:
        return f"estimator = {config.estimator} needs f's relaxation; set critic.of = relaxed, or use relax."
    if critic.width == 0:
        return "critic.of = black_box with critic.width = 0 leaves no control variate; raise critic.width."
    return None


def _relaxed(config: Values) -> str | None:
    needs = config.traits.relaxed or (config.traits.control_variate and config.critic.of == "relaxed")
    if needs and config.task == "causal" and config.causal.score != "joint":
        return (
            f"causal.score = {config.causal.score} has no relaxation; use causal.score = joint,"
            f" or estimator = relax with critic.of = black_box, or reinforce_ema or rloo."
        )
    if config.entropy and not config.traits.order_score:
        return (
            f"entropy > 0 needs an estimator with the score of the order (reinforce..., rloo); found"
            f" {config.estimator}."
        )
    if config.estimator == "sinkhorn" and config.task == "ranking":
        return "estimator = sinkhorn needs one parameter per (place, item), which task = ranking does not have."
    return None


def _own(config: Values) -> str | None:
    if config.task != "own":
        if config.cost is not None or config.soft is not None or config.items is not None:
            return f"cost, soft and items describe task = own; found task = {config.task}."
        return None
    if config.cost is None or config.items is None:
        return "task = own needs cost = FILE.py:FUNCTION and items = the number of items."
    needs = config.traits.relaxed or (config.traits.control_variate and config.critic.of == "relaxed")
    if needs and config.soft is None:
        return (
            f"estimator = {config.estimator} needs the cost of soft permutations; give soft = FILE.py:FUNCTION, or use"
            f" estimator = rloo, or relax with critic.of = black_box."
        )
    return None


def _data(config: Values) -> str | None:
    task = "sachs" if config.task == "causal" and config.causal.graph == "sachs" else config.task
    if config.own_data and str(config.dataset).endswith(_OWN_FILES.get(task, ())):
        return None
    if config.task == "causal" and config.causal.graph == "own":
        return f"causal.graph = own needs dataset = FILE.parquet or FILE.csv; found {config.dataset}."
    if config.dataset is None or config.dataset in _DATA.get(task, ()):
        return None
    files = [f"a {end} file" for end in _OWN_FILES.get(task, ())]
    allowed = " or ".join([*_DATA.get(task, ()), *files]) or "null (it has no data set)"
    return f"dataset = {config.dataset} does not fit task = {config.task}; allowed: {allowed}."


def _tour(config: Values) -> str | None:
    if config.task != "tsp" or not is_tsplib(config.tsp.instance):
        return None
    try:
        read_tsplib(Path(config.tsp.instance))
    except DataError as error:
        return str(error)
    return None


def _exact(config: Values) -> str | None:
    if config.estimator != "exact":
        return None
    if config.known_items is None or config.known_items > 9:
        return "estimator = exact enumerates n! orderings and needs task = toy, causal or own with at most 9 items."
    if config.task == "causal" and config.causal.score == "joint":
        return "estimator = exact needs a fixed cost; causal.score = joint learns its weights during training."
    return None


def _causal(config: Values) -> str | None:
    if config.task != "causal":
        return None
    causal = config.causal
    if causal.graph != "own" and (causal.truth is not None or causal.ignore):
        return f"causal.truth and causal.ignore belong to a file of your own; found causal.graph = {causal.graph}."
    if causal.graph == "own":
        return None
    if causal.graph != "sachs":
        if causal.score in _TABLE_SCORES and causal.d > 15:
            return f"causal.score = {causal.score} tabulates 2^d parent sets and needs d <= 15; found {causal.d}."
        if 2 * causal.edges > causal.d - 1:
            return f"causal.edges = {causal.edges} edges per variable exceed the (d - 1)/2 that d = {causal.d} allows."
        if causal.rows <= causal.d:
            return f"causal.rows = {causal.rows} must be above d = {causal.d}; otherwise the covariance is singular."
    elif causal.reference == "cdt18":
        return (
            "causal.reference = cdt18 has the cycle plcg -> pip2 -> pip3 -> plcg, so no order of the variables can"
            " recover it; choose reported17, consensus20 or cmu19."
        )
    elif causal.cells == "all" and config.dataset != "sachs":
        return "causal.cells = all needs the full data; set dataset = sachs, or causal.cells = observational."
    return None
