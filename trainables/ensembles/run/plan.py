"""The numbers of runs, steps and members of a configuration, before anything is trained.

A **step** is one report: one training epoch of one run, or one member drawn from a trained run. The steps of all runs
are added up, so the same number of steps costs the same for every method and any number of workers. Before the first
member is finished, reports score a network in the middle of its schedule, which scores badly by design at high learning
rates: no scheduler may stop a trial before its first member (`first_member`).
"""

from __future__ import annotations

import bisect
from collections.abc import Callable
from dataclasses import dataclass

from trainables.ensembles.config import Config, Method
from trainables.ensembles.config.rules import side_by_side
from trainables.ensembles.registry import require_same_names


@dataclass(frozen=True)
class Plan:
    """The shape of a full run.

    Args:
        runs: independent training runs; they are divided among the workers.
        epochs: training epochs of one run.
        snapshots: after how many epochs of its run each trained member is taken, ascending.
        draws: members that each run draws after its last epoch.
        heads: members in one snapshot (networks that hold several members).
        fused: runs that are trained side by side, so that each round of epochs makes as many reports.
    """

    runs: int
    epochs: int
    snapshots: tuple[int, ...] = ()
    draws: int = 0
    heads: int = 1
    fused: int = 1

    @property
    def steps_per_run(self) -> int:
        return self.epochs + self.draws

    @property
    def steps(self) -> int:
        """Reports of a full run."""
        return self.runs * self.steps_per_run

    @property
    def first_member(self) -> int:
        """The report that scores the first member, with one worker."""
        return (self.snapshots[0] - 1) * self.fused + 1 if self.snapshots else self.epochs + 1

    @property
    def members_per_run(self) -> int:
        return len(self.snapshots) * self.heads + self.draws

    @property
    def members(self) -> int:
        return self.runs * self.members_per_run

    def members_before(self, step: int) -> int:
        """Members that a run has completed before its step number `step`."""
        trained = bisect.bisect_left(self.snapshots, min(step, self.epochs) + 1) * self.heads
        return trained + max(step - self.epochs, 0)

    def cost_epochs(self, member: int) -> int:
        """Training epochs of members 0 .. `member`, if the runs are trained one after the other."""
        run, inner = divmod(member, self.members_per_run)
        snapshot = inner // self.heads
        return run * self.epochs + (self.snapshots[snapshot] if snapshot < len(self.snapshots) else self.epochs)


def plan(config: Config) -> Plan:
    """The plan of a configuration."""
    return PLANS[config.method](config)


def max_steps(config: Config) -> int:
    """Reports of a full run."""
    return plan(config).steps


def first_member(config: Config) -> int:
    """The first report that scores a finished member; no scheduler may stop the trial before it."""
    return plan(config).first_member


def _one_network(config: Config) -> Plan:
    """One network; with test-time augmentation it predicts as many augmentation draws as there are members."""
    if config.tta:
        return Plan(runs=1, epochs=config.epochs, draws=config.members)
    return Plan(runs=1, epochs=config.epochs, snapshots=(config.epochs,))


def _deep_ensemble(config: Config) -> Plan:
    epochs = config.budget_epochs // config.members if config.budget_epochs else config.epochs
    fused = config.members if config.engine != "sequential" and side_by_side(config) else 1
    return Plan(runs=config.members, epochs=epochs, snapshots=(epochs,), fused=fused)


def _checkpoint(config: Config) -> Plan:
    ages = range(config.members - 1, -1, -1)
    return Plan(
        runs=1, epochs=config.epochs, snapshots=tuple(config.epochs - age * config.checkpoint.every for age in ages)
    )


def _snapshot(config: Config) -> Plan:
    ends = [(config.sse.skip_cycles + k + 1) * cycle_epochs(config) for k in range(config.members)]
    return Plan(runs=1, epochs=ends[-1], snapshots=tuple(ends))


def cycle_epochs(config: Config) -> int:
    """Length of a cycle of snapshot ensembles in epochs."""
    if config.budget_epochs:
        return config.budget_epochs // (config.members + config.sse.skip_cycles)
    return config.sse.cycle_epochs


def _csgld(config: Config) -> Plan:
    group = config.csgld
    taken = [
        (cycle + 1) * group.cycle_epochs - age
        for cycle in range(-(-config.members // group.samples))
        for age in range(group.samples - 1, -1, -1)
    ][: config.members]
    return Plan(runs=1, epochs=taken[-1], snapshots=tuple(taken))


def _fge(config: Config) -> Plan:
    cycle = config.fge.cycle_epochs
    first = pretrain_epochs(config) + (0 if config.fge.start_low else cycle // 2)
    lows = [first + k * cycle for k in range(config.members)]
    return Plan(runs=1, epochs=lows[-1], snapshots=tuple(lows))


def _swag(config: Config) -> Plan:
    return Plan(runs=config.swag.runs, epochs=config.swag.epochs, draws=config.members // config.swag.runs)


def _swa(config: Config) -> Plan:
    return Plan(runs=1, epochs=config.swag.epochs, draws=config.members if config.tta else 1)


def _drawn(config: Config) -> Plan:
    return Plan(runs=1, epochs=config.epochs, draws=config.members)


def _last_layer(config: Config) -> Plan:
    closed_form = config.last_layer.predict == "probit" and not config.tta
    return Plan(runs=1, epochs=config.epochs, draws=1 if closed_form else config.members)


def _vi(config: Config) -> Plan:
    return Plan(runs=1, epochs=pretrain_epochs(config) + config.vi.epochs, draws=config.members)


def _heads(config: Config) -> Plan:
    return Plan(runs=1, epochs=config.epochs, snapshots=(config.epochs,), heads=config.members)


def _batch_ensemble(config: Config) -> Plan:
    epochs = max(1, round(config.batch_ensemble.epochs_factor * config.epochs))
    return Plan(runs=1, epochs=epochs, snapshots=(epochs,), heads=config.members)


def pretrain_epochs(config: Config) -> int:
    """Epochs of the ordinary first stage in methods with two stages; otherwise all epochs of a run."""
    if config.method == "fge":
        return round(config.fge.pretrain * config.epochs)
    if config.method in ("swa", "swag"):
        return round(config.swag.start * config.swag.epochs)
    if config.method == "vi":
        return config.epochs if config.vi.init == "pretrained" else 0
    return plan(config).epochs


PLANS: dict[str, Callable[[Config], Plan]] = {
    "single": _one_network,
    "deep_ensemble": _deep_ensemble,
    "checkpoint": _checkpoint,
    "snapshot": _snapshot,
    "csgld": _csgld,
    "fge": _fge,
    "swa": _swa,
    "swag": _swag,
    "mc_dropout": _drawn,
    "vi": _vi,
    "laplace": _drawn,
    "last_layer_laplace": _last_layer,
    "batch_ensemble": _batch_ensemble,
    "packed": _heads,
    "mimo": _heads,
}
require_same_names("method", Method, PLANS)
