"""Every option of a sweep or run, declared once.

The Python calls and their signatures, the command line, spec files, sweep.yaml, what a resume may change, and the
table in docs/options.md follow from `OPTIONS`; tests/spec/test_options.py holds them equal. Pure Python: the command
line reads it before it loads anything.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from os import PathLike
from typing import Any, Literal

from raybayes.contract import Direction
from raybayes.errors import SpecError
from raybayes.space import Parameter, Space
from raybayes.spec import reading, stop_rules
from raybayes.wording import did_you_mean

Door = Literal["sweep", "train", "resume", "extend", "confirm", "simulate"]
Duration = str | float
Path = str | PathLike[str]


class _Unchanged:
    def __repr__(self) -> str:
        return "unchanged"


UNCHANGED = _Unchanged()  # in the signatures of the calls that work on a sweep which has a value already


@dataclass(frozen=True, kw_only=True)
class Option:
    """One option of a sweep or run.

    Args:
        name: its Python keyword, its key in spec files and in sweep.yaml, and its flag, with hyphens.
        accepts: the type of what Python callers may give.
        default: what it is where nobody gives it.
        help: one sentence for the command line, the docstrings and the docs.
        doors: the calls and commands that take it. What is at the door "resume" may change on a resume.
        read: makes the value of what was given; ValueError says what is allowed.
        bounds: `ge`, `gt`, `le` of a number.
        metavar: how the command line shows its value, if not by its type.
        flags: its spelling on the command line where that is not its name.
        words: makes the value of what the command line gives several times.
        flag_value: the value that a bare flag stands for.
        shown_default: the default in words, where the value would not say it.
        defaults: other defaults at some doors.
        identity: whether two sweeps that differ in it are different sweeps.
        stored: whether sweep.yaml keeps it; else it holds for the one call.
    """

    name: str
    accepts: Any
    default: Any = None
    help: str
    doors: tuple[Door, ...]
    read: Callable[[Any], Any] = lambda value: value
    bounds: Mapping[str, float] = field(default_factory=dict)
    metavar: str = ""
    flags: tuple[str, ...] = ()
    words: Callable[[Sequence[str]], Any] | None = None
    flag_value: str = ""
    shown_default: str = ""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    identity: bool = False
    stored: bool = True

    def default_at(self, door: Door) -> Any:
        """What it is at a door where nobody gives it; `UNCHANGED` where the sweep has a value already."""
        return UNCHANGED if door in _LATER and self.stored else self.defaults.get(door, self.default)

    def described(self, door: Door) -> str:
        """The help, with the default where a call without it takes that."""
        text = "" if self.default_at(door) is UNCHANGED else self.default_text
        return f"{self.help} [default: {text}]" if text else self.help

    def value(self, given: Any) -> Any:
        """The value of what was given. Raises SpecError where it is not readable."""
        try:
            return self.read(given)
        except ValueError as error:
            raise SpecError(f"{self.name}: found {given!r}; {error}.") from None

    @property
    def spelled(self) -> tuple[str, ...]:
        """How the command line spells it."""
        flag = f"--{self.name.replace('_', '-')}"
        return self.flags or ((flag, f"--no-{flag[2:]}") if self.accepts is bool else (flag,))

    @property
    def default_text(self) -> str:
        """The default as help and docs show it; "" for none."""
        if self.shown_default or self.default is None or self.default in ((), ""):
            return self.shown_default
        if isinstance(self.default, bool):
            return str(self.default).lower()
        return f"{self.default:g}" if isinstance(self.default, float) else str(self.default)


_CHANGING = ("resume", "extend")
_LATER = (*_CHANGING, "confirm")
_NEW: tuple[Door, ...] = ("sweep", "train")
_SEARCH: tuple[Door, ...] = ("sweep", "simulate")
_BURSTS: tuple[Door, ...] = ("sweep", "resume", "extend")  # what a later burst may do in another way
_CONFIRMED: tuple[Door, ...] = (*_BURSTS, "confirm")
_EVERYWHERE: tuple[Door, ...] = ("sweep", "train", "resume", "extend", "confirm")

_DECLARED = (
    Option(
        name="space", accepts=str | Space | Mapping[str, Parameter], default="SPACE", doors=("sweep",), identity=True,
        help="Name of the space in search_spaces/PROJECT.py, FILE.py:NAME, or (in Python) ranges by name.",
    ),
    Option(
        name="require", accepts=str | Sequence[str], default=(), doors=_SEARCH, identity=True, read=reading.texts,
        metavar="LIMIT", words=reading.texts,
        help="Limits between parameters that every configuration keeps, e.g. 'lr_min < lr'; may be repeated.",
    ),
    Option(
        name="config", accepts=Mapping[str, Any] | None, doors=_NEW, identity=True, read=reading.table,
        flags=("-s", "--set"), metavar="KEY=VALUE", words=reading.settings,
        help="Fixed configuration values by dotted name: -s lr=0.1 -s sse.max_lr=0.2; --config FILE reads YAML.",
    ),
    Option(
        name="trials", accepts=int, default=10, defaults={"simulate": 100}, doors=("sweep", "resume", "simulate"),
        bounds={"ge": 1}, help="Trials in total; pruned and failed ones count.",
    ),
    Option(
        name="sampler", accepts=str | object, default="tpe", doors=_SEARCH, identity=True, read=reading.component,
        help="auto, tpe, gp, cmaes, nsga2, random, grid, or the import path of an Optuna sampler; with options: "
        "tpe:n_startup_trials=20.",
    ),
    Option(
        name="scheduler", accepts=str | object, default="none", doors=(*_BURSTS, "simulate"), identity=True,
        read=reading.component, help="none, asha, median, hyperband, pbt, or an import path; options: asha:eta=4.",
    ),
    Option(
        name="objective", accepts=str | Sequence[str] | Mapping[str, Direction], default=(), doors=_NEW, identity=True,
        read=reading.names, shown_default="the project's",
        help="Metric to improve, or several joined by commas; with its direction for your own training: loss:minimize.",
    ),
    Option(
        name="constraints", accepts=Mapping[str, str] | None, doors=_SEARCH, identity=True, read=reading.bounds,
        flags=("--constraint",), metavar="METRIC<=X", words=reading.constraints,
        help="Bounds on metrics that the best trial must satisfy, e.g. seconds<=60.",
    ),
    Option(
        name="repeats", accepts=int, default=1, doors=_SEARCH, identity=True, bounds={"ge": 1},
        help="Seeds per configuration; the objective is their mean.",
    ),
    Option(
        name="time_budget", accepts=Duration | None, doors=(*_CONFIRMED, "simulate"), read=reading.duration,
        bounds={"gt": 0}, metavar="TIME", help="End the burst cleanly after this time: 90s, 30m, 2h, or seconds.",
    ),
    Option(
        name="stop_when", accepts=str | Sequence[str], default="none", doors=(*_BURSTS, "simulate"),
        read=stop_rules.stop_rules, metavar="RULE",
        help="End the sweep when plateau:30, target:0.05, regret:0.01 or (several objectives) hypervolume:30 holds.",
    ),
    Option(
        name="budget", accepts=str | None, doors=(*_BURSTS, "simulate"), read=stop_rules.budget, metavar="HOURS",
        help="End the sweep when its trials have used so many hours, over all bursts: 40gpuh, or 9cpuh of CPUs.",
    ),
    Option(
        name="concurrency", accepts=int | Literal["auto"] | None, doors=_CONFIRMED, read=reading.at_once,
        metavar="N|auto", shown_default="as many as CPUs and GPUs allow",
        help="Trials at once; auto also limits them by memory, as measured on the first trials.",
    ),
    Option(
        name="weight", accepts=float, default=1.0, doors=_CONFIRMED, bounds={"gt": 0, "le": 1e6},
        help="Share of the cluster relative to its other sweeps: 2 gets twice the slots of 1.",
    ),
    Option(
        name="workers", accepts=int, default=1, doors=_NEW, identity=True, bounds={"ge": 1},
        help="Workers that train one trial together.",
    ),
    Option(
        name="cpus_per_worker", accepts=float, default=1.0, doors=_NEW, identity=True, bounds={"gt": 0},
        help="CPU cores per worker.",
    ),
    Option(
        name="gpus_per_worker", accepts=float, default=0.0, doors=_NEW, identity=True, bounds={"ge": 0},
        help="GPUs per worker; fractions share a GPU.",
    ),
    Option(
        name="storage", accepts=Path | None, doors=(*_NEW, "simulate"), read=reading.storage, metavar="PATH",
        shown_default="RAYBAYES_STORAGE, else runs", help="Folder or object-store URI that holds all sweeps.",
    ),
    Option(
        name="name", accepts=str | None, doors=(*_NEW, "simulate"), shown_default="project and time",
        help="The sweep's folder below the storage.",
    ),
    Option(
        name="seed", accepts=int, default=0, doors=("sweep", "train", "simulate"), identity=True, bounds={"ge": 0},
        help="Seed of every random draw.",
    ),
    Option(
        name="data", accepts=Path | None, doors=_EVERYWHERE, read=reading.path, metavar="DIR",
        shown_default="RAYBAYES_DATA", help="Folder of the full data sets.",
    ),
    Option(
        name="keep_checkpoints", accepts=int, default=5, doors=_BURSTS, bounds={"ge": 0},
        help="Finished trials that keep their newest checkpoint: the best ones.",
    ),
    Option(
        name="checkpoint_every", accepts=Duration, default=10.0, doors=_EVERYWHERE, read=reading.duration,
        bounds={"ge": 0}, metavar="TIME", shown_default="10s",
        help="Least time of training between two checkpoints: 30s, 5m, or seconds.",
    ),
    Option(
        name="ask_ahead", accepts=Literal["auto", "always", "never"], default="auto", doors=(*_BURSTS, "simulate"),
        metavar="auto|always|never",
        help="Sample configurations before a slot is free; auto: where that saves 2 % of a trial's time.",
    ),
    Option(
        name="fuse", accepts=int | Literal["never", "auto"], default="never", doors=_CONFIRMED, read=reading.fused,
        metavar="N|auto|never",
        help="Train up to N trials at the same time in one process, where the project can; auto: as many as pay.",
    ),
    Option(
        name="isolate", accepts=bool, default=False, doors=_CONFIRMED,
        help="Start a fresh process (or group of them) for each trial, instead of one per slot.",
    ),
    Option(
        name="trials_per_process", accepts=int, default=500, doors=_BURSTS, bounds={"ge": 1}, metavar="N",
        help="Trials after which the processes of a slot are replaced.",
    ),
    Option(
        name="process_growth_gib", accepts=float, default=2.0, doors=_BURSTS, bounds={"gt": 0}, metavar="GIB",
        help="Growth of a process's memory, in GiB, after which it is replaced.",
    ),
    Option(
        name="retries", accepts=int, default=2, doors=_EVERYWHERE, bounds={"ge": 0},
        help="Restarts of a trial whose worker was lost, before it fails.",
    ),
    Option(
        name="max_failed_fraction", accepts=float, default=0.5, doors=(*_CONFIRMED, "simulate"),
        bounds={"ge": 0, "le": 1}, help="Fraction of failed trials above which the sweep ends with exit code 1.",
    ),
    Option(
        name="report_timeout", accepts=Duration | None, doors=_EVERYWHERE, read=reading.duration, bounds={"gt": 0},
        metavar="TIME", help="Time without a report after which a trial is stopped and fails.",
    ),
    Option(
        name="fixed_params", accepts=Mapping[str, Any] | None, doors=("resume", "extend"), read=reading.table,
        flags=("-s", "--set"), metavar="KEY=VALUE", words=reading.settings,
        help="Parameters of the space that are fixed from now on.",
    ),
    Option(
        name="warm_start", accepts=Path, default="none", doors=_SEARCH, identity=True, read=reading.path,
        metavar="PATH|auto|none",
        help="Sweeps to learn from: paths joined by commas, or auto: all finished ones of this space in the storage.",
    ),
    Option(
        name="confirm", accepts=str | None, doors=(*_BURSTS, "simulate"), read=reading.confirmation,
        metavar="TOPxSEEDS", help="At the end, repeat the best TOP over SEEDS fresh seeds; the best mean wins: 5x3.",
    ),
    Option(
        name="retry_failed", accepts=bool | Literal["all"] | Sequence[int], default=False, doors=("resume",),
        flag_value="all", read=reading.trial_numbers, stored=False,
        help="Run failed trials again, under their numbers, after a mistake is mended: all, or those that are named.",
    ),
    Option(
        name="code_changed", accepts=bool, default=False, doors=("resume", "extend"), stored=False,
        help="Resume although the code of the training differs from that of the last burst.",
    ),
    Option(
        name="allow_import", accepts=str | None, doors=("resume", "extend", "confirm"), stored=False, metavar="NAMES",
        help="Modules or files, joined by commas, that the sweep's folder may have run: its own sampler, and the "
        "training of a folder that is not yours.",
    ),
    Option(
        name="walltime", accepts=Duration | None, doors=_EVERYWHERE, read=reading.duration, metavar="TIME",
        stored=False, help="Stop cleanly at this wall-clock limit (exit code 75).",
    ),
    Option(
        name="executor", accepts=Literal["ray", "local"], default="ray", doors=_EVERYWHERE, flags=("--local",),
        flag_value="local", stored=False, help="Run in this process, without Ray (local), or on Ray (ray).",
    ),
)  # fmt: skip
OPTIONS: Mapping[str, Option] = {option.name: option for option in _DECLARED}
IDENTITY = ("kind", "project", "training", *(option.name for option in _DECLARED if option.identity))


def options_at(door: Door) -> tuple[Option, ...]:
    """The options that a door takes, in the order of the declaration."""
    return tuple(option for option in _DECLARED if door in option.doors)


def require_known(door: Door, given: Iterable[Any], own: Sequence[str] = (), where: str = "") -> None:
    """Refuse the first name that a door does not take.

    What a sweep is made of passes at the doors "resume" and "extend": whoever knows the sweep says what would change.

    Args:
        given: names that a user wrote.
        own: what the door takes beside options: "project".
        where: file and line for the message, if they came from a file.

    Raises:
        SpecError: the nearest valid name, and all of them.
    """
    offered = [option.name for option in options_at(door)]
    shown = offered if door in _CHANGING else [*own, *offered]
    for name in given:
        if name not in (*own, *offered) and not (door in _CHANGING and name in OPTIONS):
            place = f"{where}: " if where else ""
            raise SpecError(f"{place}{unknown_option(str(name), shown, door)}")


def unknown_option(name: str, valid: Sequence[str], door: str) -> str:
    """The sentence for an option that a call or command does not have.

    Example:
        >>> unknown_option("time_bugdet", ["trials", "time_budget"], "resume")
        "unknown option 'time_bugdet'; did you mean 'time_budget'? resume can change: trials, time_budget."
    """
    verb = "can change" if door in _CHANGING else "takes"
    return f"unknown option {name!r}{did_you_mean(name, valid) or ';'} {door} {verb}: {', '.join(valid)}."
