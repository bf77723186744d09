"""The context that a training function gets, the same class for every executor; only the desk and the group differ."""

from __future__ import annotations

import functools
import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import pyarrow as pa
import torch
from torch import nn

from raybayes import data
from raybayes.clock import WALL, Clock
from raybayes.contract import Action, Project, State, Stop
from raybayes.engine.messages import Controller, Decision, Report, TimeBreakdown, TrialRun
from raybayes.engine.worker.checkpointer import AsyncCheckpointer
from raybayes.engine.worker.process_state import peak_gib
from raybayes.errors import TrialError
from raybayes.seeds import derive
from raybayes.store import tables
from raybayes.store.checkpointing import checkpoints
from raybayes.store.layout import Layout


class ProcessGroup(Protocol):
    """The workers of one trial."""

    rank: int
    size: int

    def broadcast(self, value: Any) -> Any:
        """Rank 0's value, on every rank."""
        ...

    def gather(self, value: Any) -> list[Any]:
        """Every rank's value, in rank order, on every rank."""
        ...

    def mean(self, tensor: torch.Tensor) -> torch.Tensor:
        """The mean over ranks."""
        ...

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model as all ranks train it together."""
        ...


class SingleProcessGroup:
    """A group of one."""

    rank = 0
    size = 1

    def broadcast(self, value: Any) -> Any:
        return value

    def gather(self, value: Any) -> list[Any]:
        return [value]

    def mean(self, tensor: torch.Tensor) -> torch.Tensor:
        return tensor

    def wrap(self, model: nn.Module) -> nn.Module:
        return model


@functools.lru_cache(maxsize=8)
def _loaded(name: str, data_dir: str | None) -> dict[str, pa.Table]:
    # A reused worker trains many trials on the same tables; Arrow tables never change, so they can be shared.
    return data.load(name, data_dir)


class TrialContext:
    """One worker's side of one job; satisfies `raybayes.contract.Context`.

    Args:
        job: what is trained.
        project: the project's record.
        desk: where rank 0 reports.
        group: the workers of this trial.
        device: where tensors belong.
        max_steps: reports of a full run, if the project says so; the last one is never pruned.
        grace_period: number of the first report that a scheduler may stop the trial at.
    """

    def __init__(
        self,
        job: TrialRun,
        project: Project,
        controller: Controller,
        group: ProcessGroup,
        device: torch.device,
        max_steps: int | None = None,
        grace_period: int = 0,
        clock: Clock = WALL,
    ) -> None:
        self._job, self._project, self._controller, self._group, self._clock = job, project, controller, group, clock
        self._max_steps, self._grace_period = max_steps, grace_period
        self._layout = Layout(job.storage)
        self.node = socket.gethostname()
        self.rank, self.world_size, self.device = group.rank, group.size, device
        self.seed = derive(job.seed, "trial", job.trial, job.repeat)
        self.log = logging.getLogger(f"raybayes.trial.{job.trial}.{job.repeat}.rank{group.rank}")
        self._known = {metric.name: metric for metric in project.metrics}
        self.attempt = group.broadcast(controller.start(job.key, self.node).attempt if group.rank == 0 else None)
        self._step = 0
        self._seconds_before = 0.0
        self._began = clock.elapsed()
        self._saved_step = 0
        self._saver = AsyncCheckpointer(job, controller, group, clock, self.log)
        self._unsaved: Callable[[], State] | None = None
        self.spent = TimeBreakdown()

    # -- what the contract promises --------------------------------------------------------------------------

    def rng(self, name: str) -> torch.Generator:
        return torch.Generator().manual_seed(derive(self.seed, "rng", name))

    def data(self, name: str) -> Mapping[str, pa.Table]:
        return _loaded(name, self._job.data)

    def shard(self, dataset: Sequence[Any]) -> Sequence[Any]:
        if self.world_size == 1:
            return dataset
        length = len(dataset) // self.world_size * self.world_size
        picked = range(self.rank, length, self.world_size)
        if isinstance(dataset, torch.Tensor):
            return dataset[torch.tensor(picked)]
        return torch.utils.data.Subset(dataset, picked)  # type: ignore[arg-type, return-value]

    def wrap(self, model: nn.Module) -> nn.Module:
        return self._group.wrap(model.to(self.device))

    def all_reduce(self, tensor: torch.Tensor) -> torch.Tensor:
        return self._group.mean(tensor)

    def gather(self, value: Any) -> list[Any]:
        return self._group.gather(value)

    def resume(self) -> State | None:
        ref = checkpoints.newest(self._layout, *self._job.key)
        if ref is None:
            return None
        ranks = checkpoints.load(ref)
        self._step = self._saved_step = int(ranks[0]["step"])
        self._seconds_before = float(ranks[0]["seconds"])
        states = [rank["state"] for rank in ranks]
        self.log.info("goes on after step %d", self._step)
        if self._project.parallel == "members":
            return {key: value for state in states for key, value in state.items()}
        own: State = states[self.rank] if self.rank < len(states) else {}
        return {**states[0], **own}

    def report(self, metrics: Mapping[str, float], state: Callable[[], State] | None = None) -> None:
        began = self._clock.elapsed()
        self._step += 1
        self._unsaved = state
        told: tuple[Decision, bool] | None = None
        if self.rank == 0:
            self._check(metrics)
            numbers = {name: float(value) for name, value in metrics.items()}
            last, early = self._step == self._max_steps, self._step < self._grace_period
            report = Report(self._step, self.attempt, self._seconds(), numbers, last, early, peak_gib(), self.node)
            told = self._controller.report(self._job.key, report), self._saver.due
        decision, due = self._group.broadcast(told)
        self.spent.reporting += self._clock.elapsed() - began
        began = self._clock.elapsed()
        self._saver.poll()
        if decision.action in (Action.CONTINUE, Action.PAUSE) and (decision.checkpoint or due):
            self._save(wait=decision.checkpoint)
        self.spent.saving += self._clock.elapsed() - began
        if decision.action is not Action.CONTINUE:
            raise Stop(decision.action)

    def save_table(self, name: str, table: pa.Table) -> None:
        folder, _, part = name.partition("/")
        tables.save_table(self._layout, folder, part or f"rank-{self.rank}", self._job.trial, self._job.repeat, table)

    # -- what the executor calls -----------------------------------------------------------------------------

    def save(self) -> None:
        """Have the state of the last report stored when this returns. Every rank must call it."""
        began = self._clock.elapsed()
        self._save(wait=True)
        self._saver.settle()
        self.spent.saving += self._clock.elapsed() - began

    def close(self) -> None:
        """The trial has ended, however it did: leave no thread and no file of this machine behind."""
        self._saver.close()

    def _save(self, wait: bool) -> None:
        if self._unsaved is not None and self._saved_step != self._step:
            content = {"step": self._step, "seconds": self._seconds(), "state": self._unsaved()}
            self._saver.save(self._step, content, wait)
            self._saved_step = self._step

    def _seconds(self) -> float:
        return self._seconds_before + self._clock.elapsed() - self._began

    def _check(self, metrics: Mapping[str, float]) -> None:
        for name in metrics:
            if name not in self._known:
                known = ", ".join(self._known)
                raise TrialError(
                    f"{self._project.name} reported {name!r}, which it does not declare; it declares {known}."
                )
        missing = [name for name, metric in self._known.items() if metric.every_report and name not in metrics]
        if missing:
            raise TrialError(
                f"{self._project.name} reported without {', '.join(missing)}; each report must carry it "
                f"(or declare it with every_report=False)."
            )
