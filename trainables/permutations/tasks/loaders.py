"""The task that a configuration names, with its data."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor

from raybayes.contract import Context, require_entries
from trainables.permutations.config import Config, TaskName
from trainables.permutations.queries import split_queries
from trainables.permutations.tasks.causal.problem import Causal, own_rows, sachs, simulated
from trainables.permutations.tasks.own import Own, own_cost
from trainables.permutations.tasks.problem import Problem
from trainables.permutations.tasks.ranking import Ranking
from trainables.permutations.tasks.toy import Toy
from trainables.permutations.tasks.tsp import Tour, load_instance
from trainables.permutations.tsplib import is_tsplib


def load_problem(config: Config, ctx: Context, like: Tensor) -> Problem:
    """The problem of `config.task` for `config.runs` runs, in the dtype and on the device of `like`."""
    return LOADERS[config.task](config, ctx, like)


def _toy(config: Config, ctx: Context, like: Tensor) -> Problem:
    return Toy(config.toy.n, config.toy.eps, config.runs, config.restarts, like)


def _causal(config: Config, ctx: Context, like: Tensor) -> Problem:
    if config.causal.graph == "own":
        data = [own_rows(config.causal, ctx.data(str(config.dataset)))]
    elif config.causal.graph == "sachs":
        cells = ctx.data(config.dataset or "sachs-sample")["all"]
        data = [sachs(cells, config.causal.cells, config.causal.reference)]
    else:
        data = simulated(config.causal, config.runs, ctx.rng("data").initial_seed())
    return Causal(config.causal, data, config.runs, config.restarts, like)


def _ranking(config: Config, ctx: Context, like: Tensor) -> Problem:
    tables = ctx.data(config.dataset or "ltr-sample")
    return Ranking(
        split_queries(tables) if config.own_data else tables,
        config.ranking,
        config.runs,
        config.updates,
        config.lr,
        like,
    )


def _tour(config: Config, ctx: Context, like: Tensor) -> Problem:
    tables = None if is_tsplib(config.tsp.instance) else ctx.data(config.dataset or "tsp-sample")
    instance = load_instance(config.tsp.instance, tables, config.tsp.optimum)
    return Tour(instance, config.runs, config.restarts, like)


def _own(config: Config, ctx: Context, like: Tensor) -> Problem:
    assert config.cost is not None
    assert config.items is not None
    return Own(own_cost(config.cost, config.soft, config.items, config.repeats), config.runs, config.restarts, like)


LOADERS: dict[TaskName, Callable[[Config, Context, Tensor], Problem]] = {
    "toy": _toy,
    "causal": _causal,
    "ranking": _ranking,
    "tsp": _tour,
    "own": _own,
}
require_entries(TaskName, LOADERS, "trainables/permutations/tasks/loaders.py: LOADERS")
