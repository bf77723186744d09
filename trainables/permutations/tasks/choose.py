"""The task that a configuration names, with its data."""

from __future__ import annotations

from torch import Tensor

from raybayes.contract import Context
from trainables.permutations.config import Config
from trainables.permutations.tasks.problem import Problem
from trainables.permutations.tasks.toy import Toy


def choose(config: Config, ctx: Context, like: Tensor) -> Problem:
    """The problem of `config.task` for `config.runs` runs, in the dtype and on the device of `like`."""
    return Toy(config.toy.n, config.toy.eps, config.runs, like)
