"""Combinations of values that cannot run, each with the sentence that says so before anything is paid for."""

from __future__ import annotations

from pathlib import Path

from raybayes.errors import DataError
from trainables.permutations.config.values import Values
from trainables.permutations.tasks.tsplib import read_tsplib

_TABLE_SCORES = ("bic", "discrete_bic", "bdeu")
_DATA = {"tsp": ("tsp-sample", "tsp"), "ranking": ("ltr-sample", "ltr"), "sachs": ("sachs-sample", "sachs")}


def problem(config: Values) -> str | None:
    """Why a configuration cannot run, or None."""
    for check in (_budget, _samples, _restarts, _model, _critic, _relaxed, _data, _tour, _exact, _causal):
        if sentence := check(config):
            return sentence
    return None


def _budget(config: Values) -> str | None:
    if config.updates < 1:
        return (
            f"evaluations = {config.evaluations} does not pay for one update of {config.samples} samples in each of"
            f" {config.restarts} starts after the critic's; raise evaluations, or lower samples, restarts,"
            f" critic.warmup or critic.updates."
        )
    return None


def _samples(config: Values) -> str | None:
    if config.samples >= 2:
        return None
    if config.traits.leaves_one_out:
        return f"estimator = {config.estimator} leaves one sample out and needs samples >= 2; found 1."
    if config.estimator.endswith("_centred") and config.critic.centring == "loo":
        return "critic.centring = loo leaves one sample out and needs samples >= 2, found 1; use ema, or raise samples."
    if config.scale_by_std:
        return "scale_by_std = true needs the deviation of several samples; found samples = 1."
    if config.entropy:
        return "entropy > 0 is measured by the deviation of an update's costs and needs samples >= 2; found 1."
    return None


def _restarts(config: Values) -> str | None:
    if config.restarts == 1:
        return None
    if config.task == "ranking":
        return "restarts > 1 keeps the best order of several, but task = ranking trains scores; set restarts = 1."
    if config.task == "causal" and config.causal.score == "joint":
        return "restarts > 1 compares costs, which causal.score = joint changes on the way; set restarts = 1."
    return None


def _model(config: Values) -> str | None:
    if config.model == "plackett_luce":
        return None
    if config.traits.own_model:
        return f"estimator = {config.estimator} does not go with model = matching; leave model = plackett_luce."
    if config.traits.control_variate and (config.critic.of == "relaxed" or not config.critic.width):
        return "model = matching has no soft sorting; use estimator = relax with critic.of = black_box and a network."
    if config.task == "ranking":
        return "task = ranking scores documents one by one, which model = matching cannot use; use plackett_luce."
    return None


def _critic(config: Values) -> str | None:
    critic = config.critic
    if not config.traits.control_variate or critic.of == "relaxed":
        return None
    if not config.traits.critic:
        return f"estimator = {config.estimator} is made of f's relaxation; set critic.of = relaxed, or use relax."
    if critic.width == 0:
        return "critic.of = black_box with critic.width = 0 leaves no control variate; raise critic.width."
    return None


def _relaxed(config: Values) -> str | None:
    needs = config.traits.relaxed or (config.traits.control_variate and config.critic.of == "relaxed")
    if needs and config.task == "causal" and config.causal.score != "joint":
        return (
            f"causal.score = {config.causal.score} has no extension to soft permutations; use causal.score = joint,"
            f" or estimator = relax with critic.of = black_box, or reinforce_ema or rloo."
        )
    if config.entropy and not config.traits.order_score:
        return f"entropy > 0 goes with the score of the order (reinforce..., rloo), not with {config.estimator}."
    if config.estimator == "sinkhorn" and config.task == "ranking":
        return "estimator = sinkhorn needs a parameter for each (place, item), which task = ranking has not."
    return None


def _data(config: Values) -> str | None:
    task = "sachs" if config.task == "causal" and config.causal.graph == "sachs" else config.task
    if config.dataset is None or config.dataset in _DATA.get(task, ()):
        return None
    allowed = " or ".join(_DATA.get(task, ())) or "null: it makes its own data"
    return f"dataset = {config.dataset} is not for this task, which takes {allowed}."


def _tour(config: Values) -> str | None:
    if config.task != "tsp" or not config.tsp.instance.endswith(".tsp"):
        return None
    try:
        read_tsplib(Path(config.tsp.instance))
    except DataError as error:
        return str(error)
    return None


def _exact(config: Values) -> str | None:
    if config.estimator != "exact":
        return None
    if config.items is None or config.items > 9:
        return "estimator = exact enumerates n! orderings and needs task = toy or causal with at most 9 items."
    if config.task == "causal" and config.causal.score == "joint":
        return "estimator = exact needs a cost that stands still; causal.score = joint learns its weights on the way."
    return None


def _causal(config: Values) -> str | None:
    if config.task != "causal":
        return None
    causal = config.causal
    if causal.graph != "sachs":
        if causal.score in _TABLE_SCORES and causal.d > 15:
            return f"causal.score = {causal.score} tabulates 2^d parent sets and needs d <= 15; found {causal.d}."
        if 2 * causal.edges > causal.d - 1:
            return f"causal.edges = {causal.edges} edges a variable do not fit into d = {causal.d}; at most (d - 1)/2."
        if causal.rows <= causal.d:
            return f"causal.rows = {causal.rows} is not more than d = {causal.d}; the covariance would be singular."
    elif causal.reference == "cdt18":
        return (
            "causal.reference = cdt18 has the cycle plcg -> pip2 -> pip3 -> plcg, so that no order of the variables can"
            " recover it; choose reported17, consensus20 or cmu19."
        )
    elif causal.cells == "all" and config.dataset != "sachs":
        return "causal.cells = all needs the full data; set dataset = sachs, or causal.cells = observational."
    return None
