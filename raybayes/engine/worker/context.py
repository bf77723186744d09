"""The context that a training function gets; the same class for every executor, with its controller and its group."""

from __future__ import annotations

import functools
import logging
import socket
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import torch
from torch import nn

from raybayes import data
from raybayes.clock import WALL
from raybayes.contract import Action, Project, State, Stop
from raybayes.engine.messages import Controller, Decision, Report, TimeBreakdown, TrialRun
from raybayes.engine.worker.checkpointer import AsyncCheckpointer
from raybayes.engine.worker.process_group import ProcessGroup
from raybayes.engine.worker.process_state import peak_gib
from raybayes.errors import TrialError
from raybayes.seeds import derive
from raybayes.store import tables
from raybayes.store.checkpointing import checkpoints
from raybayes.store.layout import Layout
from raybayes.store.trial_files import TrialFolder
from raybayes.store.trial_log import TrialLog


@functools.lru_cache(maxsize=8)
def _loaded(name: str, data_dir: str | None) -> dict[str, pa.Table]:
    # A reused worker trains many trials on the same tables; Arrow tables never change, so they can be shared.
    return data.load(name, data_dir)


@dataclass(frozen=True)
class StepBounds:
    """Which reports of a run a scheduler must not stop it at.

    Args:
        last: number of the last report of a full run; None: the project does not say.
        first_stop: number of the first report that is not too early.
    """

    last: int | None = None
    first_stop: int = 0


class TrialContext:
    """One worker's side of one run; satisfies `raybayes.contract.Context`. Making one starts an attempt of the run.

    Args:
        run: what is trained.
        project: the project's record.
        controller: where rank 0 reports.
        group: the workers of this run.
        device: where tensors belong.
        bounds: the reports at which a scheduler must not stop the trial.

    Attributes:
        attempt: the number of this attempt, from 1; 0: the run has ended already.
        times: where the time of this attempt went.
    """

    def __init__(
        self,
        run: TrialRun,
        project: Project,
        controller: Controller,
        group: ProcessGroup,
        device: torch.device,
        bounds: StepBounds,
    ) -> None:
        self._run, self._project, self._controller, self._group, self._clock = run, project, controller, group, WALL
        self._bounds = bounds
        self._layout = Layout(run.storage)
        self.node = socket.gethostname()
        self.rank, self.world_size, self.device = group.rank, group.size, device
        self.seed = derive(run.seed, "trial", run.trial, run.repeat)
        self.log = logging.getLogger(f"raybayes.trial.{run.trial}.{run.repeat}.rank{group.rank}")
        self._known = {metric.name: metric for metric in project.metrics}
        self.attempt = group.broadcast(controller.start_run(run.key, self.node).attempt if group.rank == 0 else None)
        self._step = 0
        self._seconds_before = 0.0
        self._began = WALL.elapsed()
        self._saved_step = 0
        self._checkpointer = AsyncCheckpointer(run, controller, group, WALL, self.log)
        self._unsaved: Callable[[], State] | None = None
        self._trial_dir: TrialFolder | None = None
        self._trial_log: TrialLog | None = None
        self.times = TimeBreakdown()

    # -- what the contract promises --------------------------------------------------------------------------

    def rng(self, name: str) -> torch.Generator:
        return torch.Generator().manual_seed(derive(self.seed, "rng", name))

    def data(self, name: str) -> Mapping[str, pa.Table]:
        return _loaded(name, self._run.data)

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
        ref = checkpoints.find_newest(self._layout, *self._run.key, self._run.owner)
        if ref is None:
            return None
        ranks = checkpoints.load(ref)
        self._step = self._saved_step = int(ranks[0]["step"])
        self._seconds_before = float(ranks[0]["seconds"])
        states = [rank["state"] for rank in ranks]
        self.log.info("resumed after step %d", self._step)
        if self._project.parallel == "members":
            return {key: value for state in states for key, value in state.items()}
        own: State = states[self.rank] if self.rank < len(states) else {}
        return {**states[0], **own}

    def report(self, metrics: Mapping[str, float], state: Callable[[], State] | None = None) -> None:
        began = self._clock.elapsed()
        self._step += 1
        self._unsaved = state
        answer: tuple[Decision, bool] | None = None
        if self.rank == 0:
            self._check(metrics)
            numbers = {name: float(value) for name, value in metrics.items()}
            last, early = self._step == self._bounds.last, self._step < self._bounds.first_stop
            report = Report(self._step, self.attempt, self._seconds(), numbers, last, early, peak_gib(), self.node)
            answer = self._controller.on_report(self._run.key, report), self._checkpointer.due
        decision, due = self._group.broadcast(answer)
        self.times.reporting += self._clock.elapsed() - began
        began = self._clock.elapsed()
        self._checkpointer.poll()
        if decision.action in (Action.CONTINUE, Action.PAUSE) and (decision.checkpoint or due):
            self._save(wait=decision.checkpoint)
        self.times.saving += self._clock.elapsed() - began
        if decision.action is not Action.CONTINUE:
            raise Stop(decision.action)

    def save_table(self, name: str, table: pa.Table) -> None:
        folder, _, part = name.partition("/")
        tables.save_table(self._layout, folder, part or f"rank-{self.rank}", self._run.trial, self._run.repeat, table)

    def trial_dir(self) -> Path:
        if self._trial_dir is None:
            self._trial_dir = TrialFolder(self._layout, *self._run.key)
        return self._trial_dir.path

    def write_log(self, line: str) -> None:
        if self._trial_log is None:
            self._trial_log = TrialLog(self._layout, *self._run.key)
        self._trial_log.write(line)

    # -- what the executor calls -----------------------------------------------------------------------------

    def save(self) -> None:
        """Store the state of the last report; it is published when this returns. Every rank must call it."""
        began = self._clock.elapsed()
        self._save(wait=True)
        self._checkpointer.settle()
        self.times.saving += self._clock.elapsed() - began

    def close(self) -> None:
        """Leave no thread and no file of this machine behind; the run has ended, in whatever way."""
        self._checkpointer.close()
        if self._trial_log is not None:
            self._trial_log.close()
        if self._trial_dir is not None:
            self._trial_dir.close()

    def _save(self, wait: bool) -> None:
        if self._unsaved is not None and self._saved_step != self._step:
            content = {"step": self._step, "seconds": self._seconds(), "state": self._unsaved()}
            self._checkpointer.save(self._step, content, wait)
            self._saved_step = self._step

    def _seconds(self) -> float:
        return self._seconds_before + self._clock.elapsed() - self._began

    def _check(self, metrics: Mapping[str, float]) -> None:
        for name in () if self._project.open_metrics else metrics:
            if name not in self._known:
                known = ", ".join(self._known)
                raise TrialError(f"{self._project.name} reported undeclared metric {name!r}; it declares {known}.")
        missing = [name for name, metric in self._known.items() if metric.every_report and name not in metrics]
        if missing:
            raise TrialError(
                f"{self._project.name} reported without {', '.join(missing)}; every report must carry it, "
                "or the project must declare it with every_report=False."
            )
