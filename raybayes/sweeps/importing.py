"""A sweep made of trials from elsewhere: a table (CSV, Parquet), or a study in an Optuna storage."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as File
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import BaseModel

from raybayes import catalog
from raybayes.errors import DataError, SpecError
from raybayes.search.importing import FACTS, RawTrial, fit_trials
from raybayes.search.study.exchange import read_foreign_study, write_study
from raybayes.search.study.trials_table import trials_table
from raybayes.spec.options import OPTIONS, Path
from raybayes.spec.sweep_spec import SweepSpec, make_spec
from raybayes.store.lock import BurstLock
from raybayes.store.trials import write_trials
from raybayes.sweeps.execution import write_down
from raybayes.sweeps.own import Trainable, own_training, untrained_of
from raybayes.sweeps.preparation import Prepared, prepare_start
from raybayes.training.own import OwnTraining

_SHOWN = 20  # misfits in a message
_PREFIXES = ("", "config.", "params_")  # of a parameter's column: as it is, by raybayes export, by Optuna's data frame
_LEFT = ("feasible", "n", "node", "attempts", "earlier_failures")  # columns of raybayes export that are not imported


@dataclass(frozen=True)
class Imported:
    """What became of a source.

    Args:
        path: the sweep.
        trials: how many it has.
        remarks: sentences on what was left out.
    """

    path: str
    trials: int
    remarks: tuple[str, ...]


def import_as(
    source: Path,
    project: Trainable | None,
    study: str | None,
    skip_misfits: bool,
    options: Mapping[str, Any],
    Config: type[BaseModel] | None = None,
) -> Imported:
    """`raybayes.import_trials`, with what was left out."""
    values = {name: value for name, value in options.items() if OPTIONS[name].stored}
    for name in ("trials", "warm_start"):
        if name in values:
            raise SpecError(f"{name}: the trials of an import are those of its source; drop {name}.")
    training: OwnTraining | None
    if project is None:
        title = str(values.get("name") or "imported")
        training = untrained = untrained_of(title, values)
        values = {**values, "project": title, "objective": tuple(untrained.objective)}
        values.pop("space")
    else:
        training, values = own_training(project, values, Config)
    own = None if training is None else training.describe()
    spec = make_spec("sweep", values, "import", training=own)
    return import_trials(str(source), study, spec, training, skip_misfits)


def import_trials(
    source: str, study: str | None, spec: SweepSpec, training: OwnTraining | None, skip_misfits: bool
) -> Imported:
    """Make a sweep of finished trials, which is extended, shown and learnt from as any other.

    Args:
        source: a CSV or Parquet file, or the URL of an Optuna storage.
        study: its name in the storage.
        spec: of the sweep; `trials` follows from the source.
        training: what is trained, if it is not in the catalogue.
        skip_misfits: leave out the rows that do not fit, instead of refusing them all.

    Raises:
        SpecError: a column or the study does not fit the sweep; rows do not fit: each is named.
        DataError: the file cannot be read.
    """
    if spec.sampler.name == "grid" or spec.scheduler.name == "pbt":
        raise SpecError("grid and pbt count on their own first trials, so none can be imported; choose another.")
    prepared = prepare_start(spec, training)
    if prepared.layout.storage.exists(prepared.layout.spec):
        raise SpecError(f"{prepared.layout.storage.display} exists; choose another --name.")
    rows, remarks = _from_storage(source, study, prepared) if "://" in source else _from_file(source, study, prepared)
    plan = prepared.plan
    fitted = fit_trials(rows, plan.space, plan.objectives, _fixed(prepared, training), prepared.spec.constraints)
    if fitted.misfits and not skip_misfits:
        raise SpecError(_refusal(source, fitted.misfits, len(rows)))
    if not fitted.records:
        raise SpecError(f"{source} has no finished trial to import{'; ' if remarks else ''}{'; '.join(remarks)}.")
    made = Prepared(
        prepared.spec.model_copy(update={"trials": len(fitted.records)}),
        prepared.project, plan, prepared.layout, prepared.roots, training=training,
    )  # fmt: skip
    with BurstLock(made.layout):
        write_down(made)
        _write_study(made, fitted.records)
        write_trials(made.layout, trials_table(fitted.records, plan.space, plan.objectives))
    left_out = [f"left out: {misfit}" for misfit in fitted.misfits]
    return Imported(made.layout.storage.display, len(fitted.records), (*remarks, *left_out))


def _write_study(made: Prepared, records: Sequence[Any]) -> None:
    from raybayes.engine.controller.journal_file import journal_file

    file = journal_file(made.layout)
    write_study(str(file), made.plan.space, made.plan.objectives, records)
    if not made.layout.storage.local:
        made.layout.storage.write_bytes(made.layout.journal, file.read_bytes())


def _fixed(prepared: Prepared, training: OwnTraining | None) -> dict[str, Any]:
    """The configuration outside the space, which columns of its names must agree with."""
    spec, space = prepared.spec, prepared.plan.space
    whole = dict(spec.config) if training is not None else catalog.filled(prepared.project, spec.config)
    return {name: value for name, value in whole.items() if name not in space}


def _refusal(source: str, misfits: Sequence[str], rows: int) -> str:
    more = [f"and {len(misfits) - _SHOWN} more"] if len(misfits) > _SHOWN else []
    listed = "\n  ".join([*misfits[:_SHOWN], *more])
    return (
        f"{source}: {len(misfits)} of {rows} trials do not fit, so nothing was imported:\n  {listed}\nMend them, widen "
        "the space, or leave them out with --skip-misfits."
    )


def _from_storage(url: str, study: str | None, prepared: Prepared) -> tuple[Sequence[RawTrial], list[str]]:
    objectives = prepared.plan.objectives
    found = read_foreign_study(url, study, [objective.name for objective in objectives])
    for objective, direction in zip(objectives, found.directions, strict=True):
        if direction != objective.direction:
            raise SpecError(
                f"{url}: the study is to {direction} where this sweep is to {objective.direction} {objective.name}; "
                "name a metric of that direction with --objective."
            )
    searched = {*prepared.plan.space, *(objective.name for objective in objectives), *FACTS}
    known = {*searched, *_fixed(prepared, prepared.training)}
    other = list(dict.fromkeys(name for row in found.rows for name in row.values if name not in known))
    if other:
        raise SpecError(
            f"{url}: the study searched {', '.join(other)}, which the sweep does not have; it has "
            f"{', '.join(prepared.plan.space)}."
        )
    return found.rows, [f"{found.unfinished} unfinished trials were left out"] if found.unfinished else []


def _from_file(file: str, study: str | None, prepared: Prepared) -> tuple[Sequence[RawTrial], list[str]]:
    if study is not None:
        raise SpecError(f"--study names a study of an Optuna storage, and {file} is a file; drop one of the two.")
    names, rows = _read(File(file))
    space, objectives = prepared.plan.space, [objective.name for objective in prepared.plan.objectives]
    fixed = _fixed(prepared, prepared.training)
    settings = {f"config.{name}": _setting_column(name, names, file) for name in (*space, *fixed)}
    metrics = [*objectives, *prepared.spec.constraints]
    columns = {name: _column(name, names, objectives, file) for name in (*metrics, *FACTS)} | settings
    shown = ", ".join(names)
    for name in metrics:
        if columns[name] is None:
            raise SpecError(f"{file} has no column {name!r} for the metric; it has the columns {shown}.")
    missing = [name for name in space if settings[f"config.{name}"] is None and not space[name].when]
    if missing:
        raise SpecError(
            f"{file} has no column for {', '.join(missing)}; it has the columns {shown}. Rename one, or fix the "
            f"parameter with -s {missing[0]}=VALUE."
        )
    taken = {name: column for name, column in columns.items() if column is not None}
    unused = [name for name in names if name not in {*taken.values(), *_LEFT} and not name.endswith(".se")]
    made = [
        RawTrial(f"row {line}", {name: row[names.index(column)] for name, column in taken.items()})
        for line, row in rows
    ]
    return made, [f"columns that mean nothing here: {', '.join(unused)}"] if unused else []


def _column(name: str, names: Sequence[str], objectives: Sequence[str], file: str) -> str | None:
    """The column of a metric or a fact; None if there is none. Optuna's data frames call values "value"."""
    also = {"trial": ["number"]}.get(name, [])
    if name in objectives:
        also = [f"values_{name}", *(["value"] if len(objectives) == 1 else [])]
    return _only(name, [name, *also], names, file)


def _setting_column(name: str, names: Sequence[str], file: str) -> str | None:
    """The column of a parameter; where a fact has its name, only one with a prefix."""
    return _only(name, [f"{prefix}{name}" for prefix in _PREFIXES if prefix or name not in FACTS], names, file)


def _only(name: str, candidates: Sequence[str], names: Sequence[str], file: str) -> str | None:
    found = [column for column in candidates if column in names]
    if len(found) > 1:
        raise SpecError(f"{file}: the columns {' and '.join(found)} both are {name}; drop one of them.")
    return found[0] if found else None


def _read(file: File) -> tuple[list[str], list[tuple[int, Sequence[Any]]]]:
    """Names of the columns, and the rows with their numbers: in a CSV file the header is row 1."""
    try:
        if file.suffix.lower() == ".parquet":
            table: pa.Table = pq.read_table(file)
            return table.column_names, [(i + 1, tuple(row.values())) for i, row in enumerate(table.to_pylist())]
        with file.open(newline="", encoding="utf-8-sig") as opened:
            lines = list(csv.reader(opened))
    except (OSError, UnicodeDecodeError, pa.ArrowInvalid, csv.Error) as error:
        raise DataError(f"{file}: it cannot be read as a table ({error}); give a CSV or Parquet file.") from None
    if not lines:
        raise DataError(f"{file} is empty; give a CSV file with a row of names.")
    return list(lines[0]), list(_filled(file, lines))


def _filled(file: File, lines: Sequence[Sequence[str]]) -> Iterator[tuple[int, Sequence[str]]]:
    if len(set(lines[0])) < len(lines[0]):
        twice = next(name for name in lines[0] if lines[0].count(name) > 1)
        raise DataError(f"{file} has two columns named {twice!r}; keep one of them.")
    for number, line in enumerate(lines[1:], start=2):
        if len(line) not in (0, len(lines[0])):
            raise DataError(f"{file}, row {number}: found {len(line)} values, the header has {len(lines[0])} names.")
        if line:
            yield number, [cell.strip() for cell in line]
