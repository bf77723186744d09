"""Several trials of one sweep trained as one: their rows are stacked, and each update covers all of them.

Trials of the tasks toy, tsp and causal can be fused, except for the joint score of causal, whose weights are trained
beside theta; trials of ranking cannot, since their runs share the weights of a network.
"""

from __future__ import annotations

import math
import re
from collections.abc import Hashable, Sequence
from typing import Any

import torch
from torch import Tensor

from raybayes.contract import Context, Stop
from trainables.permutations.collapse import row_seeds
from trainables.permutations.config import Config
from trainables.permutations.costs import Recorder
from trainables.permutations.distributions.distinct import POINTS
from trainables.permutations.distributions.noise import Streams
from trainables.permutations.estimators import ControlVariate
from trainables.permutations.estimators.build import apply_schedules, build_estimator
from trainables.permutations.memory import Memory
from trainables.permutations.optimiser import OrderOptimiser
from trainables.permutations.tasks.problem import Free
from trainables.permutations.training import Trial, new_collapse, updates

MOST = 256
MEMORY = 2**30  # bytes of all trials' tensors in one update
COPIES = 16  # tensors of the largest shape that an update holds at once, about
LARGE = 1000  # cities of a tour whose instance's name does not end in their number
OWN = 50  # columns that a user's own table is taken to have
FREE: dict[str, Any] = {
    **dict.fromkeys(("lr", "momentum", "entropy", "init_scale", "eval_samples", "controls"), True),
    "critic": {"lr", "tau", "eta"},
}


def alike(config: Config) -> Hashable:
    """What fused trials share: all but seeds, lr, critic.lr, critic.tau, critic.eta, momentum, the entropy's weight
    (if above 0), init_scale, eval_samples and controls. None for ranking and for causal's joint score.
    """
    if config.task == "ranking" or (config.task == "causal" and config.causal.score == "joint"):
        return None
    return config.model_dump_json(exclude=FREE), config.entropy > 0


def most(config: Config) -> int:
    """At most 256 trials, and no more than 1 GiB for the tensors of one update.

    An update is assumed to hold 16 tensors of rows · samples · n² numbers where permutations are relaxed or logits
    are (place, item) pairs, of rows · samples · n otherwise, of rows · n! for the exact gradient; and 5 times the
    critic's weights (themselves, a gradient, Adam's moments). n of a tour is the number at the end of its instance's
    name, as TSPLIB has it, and 1000 where there is none.
    """
    n, samples, rows = _items(config), config.samples, config.runs * config.restarts
    relaxed = config.traits.control_variate or config.traits.relaxed
    square = relaxed or config.model == "matching"
    numbers = COPIES * samples * n * (n if square else 1) * (2 if config.traits.control_variate else 1)
    if config.traits.distinct:
        numbers += 4 * POINTS * samples**2
    if config.estimator == "exact":
        numbers = COPIES * math.factorial(n)
    if config.traits.critic:
        width, inputs = config.critic.width, n * n if config.model == "matching" else n
        numbers += 5 * width * (inputs + 2 + (config.critic.depth - 1) * (width + 1))
    size = 8 if config.precision == "float64" else 4
    return max(1, min(MOST, MEMORY // (size * rows * numbers)))


def _items(config: Config) -> int:
    if config.task == "tsp":
        found = re.search(r"\d+$", config.tsp.instance)
        return int(found.group()) if found else LARGE
    if config.task == "causal" and config.causal.graph == "own":
        return OWN
    return config.known_items or 11  # Sachs' proteins


def train(configs: Sequence[Config], contexts: Sequence[Context]) -> None:
    """Train fused trials, each on one worker, from the step each of them has reached.

    The trials with the fewest reports advance together to their next one, so that trials resumed at different steps
    catch up. A stopped trial leaves, with its rows.
    """
    trials = [Trial(config, ctx) for config, ctx in zip(configs, contexts, strict=True)]
    while trials := [trial for trial in trials if not trial.done]:
        fewest = min(trial.reported for trial in trials)
        group = [trial for trial in trials if trial.reported == fewest]
        if len(group) == 1:
            group[0].advance()
        else:
            _advance(group)
        for trial in group:
            try:
                trial.report()
            except Stop:
                trials.remove(trial)


@torch.no_grad()
def _advance(trials: Sequence[Trial]) -> None:
    """Train trials at the same update up to their next report: their states are stacked, then split again."""
    first, due = trials[0], trials[0].due
    optimiser = _stacked(trials)
    noise = Streams([trial.noise for trial in trials], first.problem.rows)
    updates(first.config, optimiser, optimiser.estimator, noise, range(first.update, due), first.problem)
    state = optimiser.state()
    for number, trial in enumerate(trials):
        trial.optimiser.load(_cut(state, number * trial.problem.rows, trial.problem.rows))
        apply_schedules(
            trial.config, trial.estimator, due - 1
        )  # the measuring sees the entropy's weight of the last update
        trial.update = due
        trial.finish()


def _stacked(trials: Sequence[Trial]) -> OrderOptimiser:
    """One optimiser on the rows of all trials, in their current state."""
    first, rows = trials[0], trials[0].problem.rows
    theta = torch.cat([trial.policy.theta() for trial in trials])
    like = theta.flatten(1)[:, :1]

    def column(values: Sequence[float]) -> Tensor:
        """One number per row, (all rows,)."""
        return torch.tensor(values, dtype=theta.dtype, device=theta.device).repeat_interleave(rows)

    configs = [trial.config for trial in trials]
    entropy = column([config.entropy for config in configs]).unsqueeze(1) if first.config.entropy else None
    estimator = build_estimator(
        first.config,
        first.model,
        first.problem.n,
        like,
        torch.Generator(),  # replaced by the trials' own weights below
        column([config.momentum for config in configs]).unsqueeze(1),
        entropy,
    )
    cost = first.problem.cost_with([trial.problem for trial in trials[1:]])
    seen = [seen for trial in trials if trial.f.memory is not None for seen in trial.f.memory.seen]
    rowwise = bool(getattr(cost, "rowwise", False))
    memory = Memory(cost.n, seen, rowwise, theta.device) if seen else None
    f = Recorder(cost, len(theta), theta.dtype, theta.device, first.config.restarts, memory)
    policy = Free(theta)
    seeds = [seed for trial in trials for seed in row_seeds(trial.seed, rows)]
    optimiser = OrderOptimiser(
        policy,
        estimator,
        f,
        first.config.samples,
        column([config.lr for config in configs]),
        column([config.critic.lr for config in configs]),
        first.config.critic.updates,
        collapse=new_collapse(first.config, policy, seeds),
    )
    optimiser.load(_joined([trial.optimiser.state() for trial in trials]))
    if isinstance(estimator, ControlVariate):  # also if they are not learnt, and so not part of the state
        parts = [trial.estimator for trial in trials if isinstance(trial.estimator, ControlVariate)]
        estimator.log_tau.copy_(torch.cat([part.log_tau for part in parts]))
        estimator.eta.copy_(torch.cat([part.eta for part in parts]))
    return optimiser


def _joined(states: Sequence[Any]) -> Any:
    """Nested states as one: tensors concatenated by rows; counts are equal, since all made the same updates."""
    first = states[0]
    if isinstance(first, Tensor):
        return torch.cat(list(states))
    if isinstance(first, dict):
        return {name: _joined([state[name] for state in states]) for name in first}
    if isinstance(first, list):
        return [_joined(parts) for parts in zip(*states, strict=True)]
    return first


def _cut(state: Any, start: int, rows: int) -> Any:
    """The inverse of `_joined` for one trial; copies, so that a checkpoint does not keep other trials' rows alive."""
    if isinstance(state, Tensor):
        return state[start : start + rows].clone()
    if isinstance(state, dict):
        return {name: _cut(part, start, rows) for name, part in state.items()}
    if isinstance(state, list):
        return [_cut(part, start, rows) for part in state]
    return state
