"""The task that a configuration names, with its data."""

from __future__ import annotations

from torch import Tensor

from raybayes.contract import Context
from trainables.permutations.config.values import Config
from trainables.permutations.tasks.causal.problem import Causal, sachs, simulated
from trainables.permutations.tasks.problem import Problem
from trainables.permutations.tasks.ranking import Ranking
from trainables.permutations.tasks.toy import Toy
from trainables.permutations.tasks.tsp import Tour, load_instance


def choose(config: Config, ctx: Context, like: Tensor) -> Problem:
    """The problem of `config.task` for `config.runs` runs, in the dtype and on the device of `like`."""
    if config.task == "causal":
        if config.causal.graph == "sachs":
            cells = ctx.data(config.dataset or "sachs-sample")["all"]
            data = [sachs(cells, config.causal.cells, config.causal.reference)]
        else:
            data = simulated(config.causal, config.runs, ctx.rng("data").initial_seed())
        return Causal(config.causal, data, config.runs, config.restarts, like)
    if config.task == "ranking":
        tables = ctx.data(config.dataset or "ltr-sample")
        return Ranking(tables, config.ranking, config.runs, config.updates, config.lr, like)
    if config.task == "tsp":
        file = config.tsp.instance.endswith(".tsp")
        tables = None if file else ctx.data(config.dataset or "tsp-sample")
        instance = load_instance(config.tsp.instance, tables, config.tsp.optimum)
        return Tour(instance, config.runs, config.restarts, like)
    return Toy(config.toy.n, config.toy.eps, config.runs, config.restarts, like)
