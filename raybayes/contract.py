"""What a trainable sees of raybayes, and all that raybayes knows of a trainable.

A project is one record, `PROJECT = Project(...)`, in `trainables/<name>/__init__.py`. Its training function
reads from top to bottom and never imports Ray:

    def train(config: Config, ctx: Context) -> None:
        state = ctx.resume()
        ...
        for epoch in range(start, config.epochs):
            ...
            ctx.report({"loss": loss}, state=lambda: {"epoch": epoch, "model": model.state_dict()})

The same function runs in this process, in the workers of a Ray Train run, and in a Ray Tune trial.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeVar, get_args

from raybayes.errors import SpecError

if TYPE_CHECKING:  # the contract stays pure Python: these are names for readers and type checkers only
    import logging
    from pathlib import Path

    import pyarrow as pa
    import pydantic
    import torch
    from matplotlib.figure import Figure
    from torch import nn

Direction = Literal["maximize", "minimize"]
Parallel = Literal["data", "members", "samples"]
State = dict[str, Any]
Load = Callable[[str], Mapping[str, "pa.Table"]]  # a data set's splits by its name
Wrapped = TypeVar("Wrapped")


_OF_REPORTS = frozenset({"trial", "repeat", "attempt", "step", "seconds", "time", "node"})
_OF_TRIALS = frozenset({"trial", "state", "feasible", "steps", "n", "seconds", "started", "ended", "node", "attempts"})
COLUMNS = _OF_REPORTS | _OF_TRIALS | {"failure"}  # of every sweep's tables


@dataclass(frozen=True)
class Metric:
    """One number that a project reports.

    Args:
        name: the key in `ctx.report`'s dictionary.
        direction: which way is better.
        unit: "nats", "%", "s", "" for a pure number.
        doc: one sentence for tables and pages.
        every_report: whether each report must carry it. A metric that only the last report carries
            (a score of the finished ensemble, say) sets False.
        timing: whether it is a measured time, which two equal runs do not share.

    Raises:
        SpecError: the name is a column of every table of trials or reports.
    """

    name: str
    direction: Direction
    unit: str = ""
    doc: str = ""
    every_report: bool = True
    timing: bool = False

    def __post_init__(self) -> None:
        if self.name in COLUMNS or self.name.endswith((".se", ".searched")) or self.name.startswith("config."):
            raise SpecError(
                f"a metric cannot be called {self.name!r}: every table of trials or reports has a column of that name; "
                f"choose another one, such as {self.name.replace('.', '_')}_value."
            )


class Action(enum.StrEnum):
    """What a training function must do after a report."""

    CONTINUE = "continue"
    PRUNE = "prune"  # the scheduler has seen enough
    FAIL = "fail"  # the objective is not a finite number: training on would burn time
    PAUSE = "pause"  # write a checkpoint, then end; a later burst resumes the trial


class Stop(Exception):  # noqa: N818 - not an error: the ordinary end of a trial that is stopped early
    """Raised by `ctx.report` when the trial must end now. Let it pass through; `finally` blocks run as usual."""

    def __init__(self, action: Action) -> None:
        super().__init__(action.value)
        self.action = action


class Context(Protocol):
    """The sweep's side of a training function, one object per worker.

    Attributes:
        rank: this worker's number, 0 .. world_size - 1.
        world_size: how many workers train this trial together.
        device: where tensors belong ("cpu", "cuda:0").
        seed: 63-bit integer derived from (sweep seed, trial number, repeat); equal on all ranks.
        log: a logger whose lines name the trial and the rank.
    """

    rank: int
    world_size: int
    device: torch.device
    seed: int
    log: logging.Logger

    def rng(self, name: str) -> torch.Generator:
        """A fresh CPU generator that depends on (sweep seed, trial, repeat, name) alone, equal on all ranks.

        Put the rank into the name where ranks must differ: `ctx.rng(f"noise/{ctx.rank}")`.
        """
        ...

    def data(self, name: str) -> Mapping[str, pa.Table]:
        """The splits of a data set, by split name (`raybayes.data.load`). DataError names the places looked at."""
        ...

    def shard(self, dataset: Sequence[Any]) -> Sequence[Any]:
        """This rank's share of a data set: every world_size-th object, cut to equal lengths; all for one worker."""
        ...

    def wrap(self, model: nn.Module) -> nn.Module:
        """The model on `device`, and in DistributedDataParallel when world_size > 1."""
        ...

    def all_reduce(self, tensor: torch.Tensor) -> torch.Tensor:
        """The mean over ranks; the tensor itself for one worker."""
        ...

    def gather(self, value: Any) -> list[Any]:
        """Every rank's picklable value, in rank order, on every rank."""
        ...

    def resume(self) -> State | None:
        """The newest whole checkpoint of this trial, or None at a first start.

        Ranks save one state each. What comes back is rank 0's state updated with this rank's own entries;
        with `parallel="members"` it is the union of all ranks' entries, so any number of workers can go on.
        """
        ...

    def report(self, metrics: Mapping[str, float], state: Callable[[], State] | None = None) -> None:
        """Hand over one step of the fidelity. Every rank must call it equally often; rank 0's metrics count.

        Args:
            metrics: finite numbers by name; the objective among them.
            state: makes the state to resume from. Called only when a checkpoint is due.

        Raises:
            Stop: the trial must end now.
        """
        ...

    def trial_dir(self) -> Path:
        """A folder of the trial's own, which is there again when the trial is resumed."""
        ...

    def write_log(self, line: str) -> None:
        """Append a line to the trial's log, which `raybayes logs` prints. Of a long one the middle is left out."""
        ...

    def save_table(self, name: str, table: pa.Table) -> None:
        """Store an artefact (predictions, curves, detections). `name` is "<table>" or "<table>/<part>".

        The parts of one table share a schema. A part that is saved again replaces the old one.
        """
        ...


class Finished(Protocol):
    """What a project reads of a sweep or run, finished or not; `raybayes.open_sweep` returns one."""

    @property
    def trials(self) -> pa.Table:
        """One row per trial: trial, state, steps, objectives, config.*, seconds, ..."""
        ...

    @property
    def reports(self) -> pa.Table:
        """One row per report: trial, repeat, attempt, step, seconds, time, node, and the metrics."""
        ...

    @property
    def tables(self) -> list[str]:
        """Names of the tables that trials saved."""
        ...

    def table(self, name: str, trial: int | None = None, repeat: int | None = None) -> pa.Table:
        """What trials saved under `name`, with the columns trial, repeat and part."""
        ...

    def state(self, trial: int | None = None, repeat: int = 0) -> State:
        """The newest state that a trial has stored (rank 0's), of the best trial by default."""
        ...


@dataclass(frozen=True)
class Findings:
    """What a project makes of a whole sweep, beyond its table of trials.

    Args:
        tables: short tables to read, by title. A column "x.se" is the standard error of the column "x".
        figures: drawings by caption.
        results: one long table behind them, for files.
    """

    tables: Mapping[str, pa.Table] = field(default_factory=dict)
    figures: Mapping[str, Figure] = field(default_factory=dict)
    results: pa.Table | None = None


@dataclass(frozen=True)
class Rescore:
    """How a project recomputes its results from what a sweep has stored, without training and without a device.

    Args:
        Settings: a frozen pydantic model of what may be set, checked like a `Config`.
        compute: `compute(finished, settings)`; the `results` of its findings are the new table.
    """

    Settings: type[pydantic.BaseModel]
    compute: Callable[[Finished, Any], Findings]


@dataclass(frozen=True)
class Command:
    """A command on a finished run: `raybayes <name> INPUT... --run PATH [--<setting> VALUE ...]`.

    Args:
        name: a verb; not a command of raybayes itself.
        summary: one sentence.
        inputs: what the arguments are, for the help: "SCENE".
        Settings: a frozen pydantic model, checked like a `Config`; each field is an option ("--class-image" sets
            `class_image`), which may be given several times where the field is a tuple.
        run: `run(finished, inputs, settings)`; tables are printed, figures are written as PNG.
    """

    name: str
    summary: str
    inputs: str
    Settings: type[pydantic.BaseModel]
    run: Callable[[Finished, Sequence[str], Any], Findings]


@dataclass(frozen=True)
class Fusion:
    """How several trials of a project are trained at the same time on one device (`--fuse`).

    Args:
        alike: given a config, what trials must have in common to be trained together; None: this one is trained alone.
        most: given a config, how many trials at most gain from it, or fit into memory. `--fuse auto` never exceeds it;
            an explicit `--fuse N` overrides it.
        train: `train(configs, contexts)`: what `Project.train` does, for each config with its own context. All that a
            trial reports and stores is what it would be alone, up to rounding. The report of a trial may raise `Stop`,
            which ends this trial and no other; the function returns when none is left. The trials may go on from
            checkpoints, also from ones that they made alone, at different steps. If the function raises anything else,
            its trials are trained alone, which shows whose mistake it was.
    """

    alike: Callable[[Any], Hashable]
    most: Callable[[Any], int]
    train: Callable[[Sequence[Any], Sequence[Context]], None]


@dataclass(frozen=True)
class Project:
    """All that the service knows of a research project.

    Args:
        name: the name of its folder below `trainables/`.
        summary: one sentence.
        paper: authors, title, year, arXiv id.
        Config: a frozen pydantic model; its defaults are the paper's values.
        train: `train(config, ctx)`.
        metrics: what it reports; the first one is the default objective.
        fidelity: what one report stands for: "epoch", "member", "interval" where reports divide a run evenly.
        parallel: what more workers mean: "data" (DDP), "members" (each trains its own ensemble members),
            "samples" (each draws its own gradient samples).
        smoke: config values for a run that takes under 5 s on one CPU core.
        data: names of the data sets that the project can use, the default one first.
        generated_datasets: names that its `dataset` may have for data that it generates itself.
        check: `check(config, data)` raises DataError if what a configuration names does not fit: a user's own file,
            weights, an instance of a data set. `data(name)` gives tables as `ctx.data` does; a check loads only what
            it must look at. Called with the first trial's configuration before anything starts or is written.
        objective: metrics that a sweep improves unless it names others; the first of `metrics` alone where empty.
        max_steps: given a config, how many reports a full run makes; schedulers take their rungs from it.
        grace_period: given a config, the number of the first report that a scheduler may stop a trial at. A method
            that is bad before its first cycle ends, by design, says so here.
        findings: what a whole sweep has found: tables to print below its trials, figures for its page.
        rescore: how the results follow from the stored tables, for other settings than those of the run.
        commands: what can be done with a finished run.
        fusion: how several trials are trained at the same time, if that is faster than one after the other.
        open_metrics: whether it may report metrics that it does not declare.
    """

    name: str
    summary: str
    paper: str
    Config: type[pydantic.BaseModel]
    train: Callable[[Any, Context], None]
    metrics: tuple[Metric, ...]
    fidelity: str
    parallel: Parallel
    smoke: Mapping[str, Any] = field(default_factory=dict)
    data: tuple[str, ...] = ()
    generated_datasets: tuple[str, ...] = ()
    check: Callable[[Any, Load], None] | None = None
    objective: tuple[str, ...] = ()
    max_steps: Callable[[Any], int] | None = None
    grace_period: Callable[[Any], int] | None = None
    findings: Callable[[Finished], Findings] | None = None
    rescore: Rescore | None = None
    commands: tuple[Command, ...] = ()
    fusion: Fusion | None = None
    open_metrics: bool = False

    def metric(self, name: str) -> Metric:
        """The metric of that name; KeyError if the project does not report it."""
        return {metric.name: metric for metric in self.metrics}[name]


def require_entries(names: Any, table: Collection[str], where: str) -> None:
    """Hold a registry to the names that a config allows; call it below the registry, so that a gap fails at import.

    Args:
        names: the `Literal` of the config's field.
        table: the registry, or its keys.
        where: file and table, for the message.

    Raises:
        SpecError: a name has no entry, or an entry no name.
    """
    wanted = set(get_args(names))
    if missing := sorted(wanted - set(table)):
        raise SpecError(f"{where} has no entry for {', '.join(missing)}; add it, or take the name out of the config.")
    if unknown := sorted(set(table) - wanted):
        raise SpecError(f"{where} has entries that no config can name: {', '.join(unknown)}; add them to the Literal.")
