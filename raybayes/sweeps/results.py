"""A sweep or a run as a researcher reads it: tables, best trials, artefacts. Reads the folder alone, without Ray."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pydantic import ValidationError

from raybayes import catalog
from raybayes.contract import Findings
from raybayes.errors import RaybayesError, SpecError, StoreError, TrialError
from raybayes.seeds import derive
from raybayes.space import Space
from raybayes.spec.options import Path
from raybayes.spec.sweep_spec import SweepSpec
from raybayes.spec.validation import build, nest, refused
from raybayes.store.documents import read_spec
from raybayes.store.filesystem import open_storage
from raybayes.store.layout import Layout
from raybayes.store.reports import FIXED, next_burst, read_reports
from raybayes.store.tables import read_table, table_names
from raybayes.store.trials import read_trials

if TYPE_CHECKING:
    import pandas

    from raybayes.reporting.page import Page
    from raybayes.reporting.summary import Summary
    from raybayes.search.confirm import Confirmation
    from raybayes.search.objective import Objective
    from raybayes.search.study import Study, TrialRecord


class Sweep:
    """A finished, running or interrupted sweep (or a run: a sweep of one trial).

    Args:
        path: its folder or URI.
        keep: what must live as long as this object does: a temporary folder.

    Raises:
        StoreError: there is no sweep, or a newer raybayes wrote it.
    """

    def __init__(self, path: Path, keep: Any = None) -> None:
        self._keep = keep
        self.layout = Layout(open_storage(str(path)))
        self.document = read_spec(self.layout)

    def __repr__(self) -> str:
        states = self.trials["state"].to_pylist()
        counts = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states))) or "no trials"
        return f"<{self.spec.kind} {self.path}: {counts}>"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from raybayes.reporting.notebook import run_html, sweep_html

        if self.spec.kind == "train":
            return run_html(self.path, self.spec.project, self.trials, self.reports, FIXED.names)
        return sweep_html(self.path, self.spec.project, self.trials, self.objectives)

    def frame(self, what: str = "trials") -> pa.Table:
        """The trials, the reports, or a stored table, by name.

        Raises:
            StoreError: there is no such table; the message lists those that there are.
        """
        if what in ("trials", "reports"):
            found: pa.Table = getattr(self, what)
            return found
        if what not in self.tables:
            names = ", ".join(["trials", "reports", *self.tables])
            raise StoreError(f"{self.path}: there is no table {what!r}; it has {names}.")
        return self.table(what)

    def to_pandas(self, what: str = "trials") -> pandas.DataFrame:
        """`frame` as a pandas data frame; missing values are NaN or None."""
        try:
            return self.frame(what).to_pandas()
        except ImportError:
            table = f".frame({what!r})"
            raise SpecError(f"pandas is not installed; pip install pandas, or use {table}, a pyarrow.Table.") from None

    @property
    def path(self) -> str:
        """The folder, as it was given."""
        return self.layout.storage.display

    @cached_property
    def spec(self) -> SweepSpec:
        """What was asked for, every default written out."""
        known = {name: value for name, value in self.document.items() if name in SweepSpec.model_fields}
        return build(SweepSpec, known, self.layout.storage.shown(self.layout.spec))

    @cached_property
    def space(self) -> Space:
        """What is searched, fixed parameters taken out."""
        return Space.from_description(self.document["parameters"])

    @cached_property
    def objectives(self) -> tuple[Objective, ...]:
        """The metrics that the search improves."""
        from raybayes.search.objective import Objective

        return tuple(
            Objective(entry["name"], entry["direction"], entry["unit"]) for entry in self.document["objectives"]
        )

    @cached_property
    def _study(self) -> Study:
        return self.study()

    def study(self) -> Study:
        """The study, opened anew to be read."""
        from raybayes.engine.controller.journal_file import journal_file
        from raybayes.search.study import Study

        return Study(str(journal_file(self.layout)), self.space, self.objectives, writer=False)

    def profile(self) -> pa.Table:
        """Where the time of each slot went, one row a job: slot, node, trial, repeat, ended, seconds of each part."""
        from raybayes.store.profile import read_profile

        return read_profile(self.layout)

    @cached_property
    def _records(self) -> list[TrialRecord]:
        return self._study.records()

    @cached_property
    def stages(self) -> list[Sweep]:
        """The confirmations of this sweep, oldest first, each a sweep of its own."""
        paths = (self.layout.confirmation(number) for number in itertools.count(1))
        exists = self.layout.storage.exists
        present = itertools.takewhile(lambda path: exists(f"{path}/{self.layout.spec}"), paths)
        return [Sweep(self.layout.storage.shown(path)) for path in present]

    @cached_property
    def confirmed(self) -> dict[int, Confirmation]:
        """What fresh seeds say of the trials that were confirmed, by number."""
        from raybayes.search.confirm import Stage, pooled

        stages = [
            Stage(stage._records, [entry["trial"] for entry in stage.document["candidates"]], stage.spec.repeats)
            for stage in self.stages
        ]
        return pooled(stages, self._records, self.objectives) if stages else {}

    @property
    def best_summary(self) -> str:
        """One or two sentences on the best trial: its value with its standard error, and what it rests on."""
        from raybayes.search.best_summary import best_summary

        return best_summary(self._records, self.confirmed, self.objectives, self.spec.constraints)

    @cached_property
    def trials(self) -> pa.Table:
        """One row a trial: trial, state, steps, objectives, n, config.*, seconds, times, node, attempts, error.

        Of a confirmed trial, the objectives are means over `n` fresh seeds, with their standard errors in "<name>.se";
        "<name>.searched" is what the search had found, and `confirmed` whether the trial may win.
        """
        from raybayes.search.best_summary import with_confirmations

        return with_confirmations(self._searched, self.confirmed, self.objectives)

    @property
    def _searched(self) -> pa.Table:
        from raybayes.search.study import trials_table

        if self.layout.storage.exists(self.layout.journal):
            return trials_table(self._records, self.space, self.objectives)
        stored = read_trials(self.layout)
        if stored is None:
            return trials_table([], self.space, self.objectives)
        return stored

    @cached_property
    def reports(self) -> pa.Table:
        """One row a report: trial, repeat, attempt, step, seconds, time, node, and the metrics."""
        return read_reports(self.layout)

    @property
    def best(self) -> dict[str, Any]:
        """The best trial's row: by the mean over fresh seeds if the sweep was confirmed, else by what the search found.

        Raises:
            StoreError: no trial is complete, or none satisfies the constraints.
        """
        front = self.pareto.to_pylist()
        if not front:
            raise StoreError(f"{self.path}: there is no best trial. {self.best_summary}")
        row: dict[str, Any] = front[0]
        return row

    @property
    def pareto(self) -> pa.Table:
        """The trials that no other dominates; for one objective the best alone."""
        from raybayes.search.confirm import judged
        from raybayes.search.ranking import front

        numbers = front(judged(self._records, self.confirmed), self.objectives)
        rows = {number: i for i, number in enumerate(self.trials["trial"].to_pylist())}
        return self.trials.take([rows[number] for number in numbers])

    def config(self, trial: int | None = None) -> dict[str, Any]:
        """The whole configuration of a trial (the best one by default), dotted names, ready for `rb.train`."""
        number = self.best["trial"] if trial is None else trial
        record = next((r for r in self._records if r.number == number), None)
        if record is None:
            raise StoreError(f"{self.path}: there is no trial {number}; it has 0 to {len(self._records) - 1}.")
        if self.spec.kind == "replay":
            return dict(record.params)
        project = catalog.load_project(self.spec.project)
        return catalog.filled(project, {**self.spec.config, **record.params})

    def importances(self) -> dict[str, float]:
        """Share of each parameter in reaching the best results (PED-ANOVA); empty below 4 finished trials."""
        return self._study.importances()

    def importance_intervals(self) -> dict[str, tuple[float, float]]:
        """How far each of `importances` may be off: 5 % and 95 % quantiles over bootstrap resamples of the trials."""
        return self._study.importance_intervals(derive(self.spec.seed, "importances"))

    @property
    def checkpoint_bytes(self) -> int:
        """Bytes of all checkpoints that are kept."""
        return sum(self.layout.storage.sizes(self.layout.checkpoints).values())

    @property
    def tables(self) -> list[str]:
        """Names of the tables that trials saved."""
        return table_names(self.layout)

    def table(self, name: str, trial: int | None = None, repeat: int | None = None) -> pa.Table:
        """What trials saved under `name`, with the columns trial, repeat and part."""
        return read_table(self.layout, name, trial, repeat)

    def report(self) -> str:
        """Draw all figures (PNG and SVG, in `figures/`) and write report.html; returns where the page lies."""
        from raybayes.reporting.page import write_page

        return write_page(self.layout, self.page())

    def page(self) -> Page:
        """What `report` writes, in memory. If the project cannot add its part, the page says why."""
        from raybayes.reporting.page import make_page

        try:
            findings, notice = self.findings(), ""
        except RaybayesError as error:
            findings, notice = Findings(), f"The project's own tables and figures are missing: {error}"
        return make_page(
            self.summary, self.trials, self.reports, findings=findings, notice=notice, profile=self.profile()
        )

    def findings(self) -> Findings:
        """What the project makes of the whole sweep: short tables and figures; empty if it makes nothing of it.

        Raises:
            RaybayesError: the project says why it cannot.
            TrialError: the project's own function failed.
        """
        if self.spec.kind == "replay":  # a function stood for the project
            return Findings()
        project = catalog.load_project(self.spec.project)
        if project.findings is None:
            return Findings()
        return self._made("findings", project.findings)

    def rescore(self, settings: Mapping[str, Any] | None = None) -> Findings:
        """The results anew from the stored tables alone, without training anything; `.results` is the long table.

        Args:
            settings: values of the project's `Rescore.Settings`, by name.

        Raises:
            SpecError: the project cannot rescore, or a setting is wrong.
            RaybayesError: the stored tables do not allow it; the message says why.
        """
        project = catalog.load_project(self.spec.project)
        rescoring = project.rescore
        if rescoring is None:
            raise SpecError(f"{project.name} has nothing to rescore; raybayes show {self.path} prints its trials.")
        checked = build(rescoring.Settings, nest(settings or {}), f"rescore {self.path}")
        return self._made("rescore", lambda finished: rescoring.compute(finished, checked))

    def state(self, trial: int | None = None, repeat: int = 0) -> dict[str, Any]:
        """The newest state that a trial has stored (rank 0's): what its training function would resume from.

        Args:
            trial: by default the best one, or the only one of a run.

        Raises:
            StoreError: the trial has stored none, or a sweep kept only those of better trials.
        """
        from raybayes.store import checkpoints, retention

        single = self.spec.kind == "train"
        number = trial if trial is not None else 0 if single else int(self.best["trial"])
        ref = checkpoints.newest(self.layout, number, repeat)
        if ref is None:
            kept = sorted(retention.holders(self.layout))
            raise StoreError(
                f"{self.path}: trial {number} has no stored state; "
                + (f"trials with one: {', '.join(map(str, kept))}." if kept else "let it make its first checkpoint.")
            )
        state: dict[str, Any] = checkpoints.load(ref)[0]["state"]
        return state

    def command(self, name: str, inputs: Sequence[str], settings: Mapping[str, Any] | None = None) -> Findings:
        """Do with this run what its project offers under that name.

        Args:
            inputs: what the command works on, file names as a rule.
            settings: values of the command's `Settings`, by name.

        Raises:
            SpecError: the project has no such command, or a setting is wrong.
            RaybayesError: the project says why it cannot.
        """
        project = catalog.load_project(self.spec.project)
        offered = {command.name: command for command in project.commands}
        if name not in offered:
            listed = ", ".join(offered) or "none"
            raise SpecError(f"{self.path} is a run of {project.name}, which has no command {name!r}; it has {listed}.")
        command = offered[name]
        checked = build(command.Settings, nest(settings or {}), name)
        return self._made(name, lambda finished: command.run(finished, list(inputs), checked))

    def _made(self, what: str, by: Callable[[Sweep], Findings]) -> Findings:
        from raybayes.reporting.style import drawing

        try:
            with drawing():
                return by(self)
        except RaybayesError:
            raise
        except ValidationError as error:  # what was asked for makes a Config that the project refuses
            raise refused(error, catalog.load_project(self.spec.project).Config, what) from None
        except Exception as error:
            name = self.spec.project
            raise TrialError(f"{self.path}: {what} of {name} failed: {type(error).__name__}: {error}") from error

    @property
    def summary(self) -> Summary:
        """The facts that stand above a report."""
        from raybayes.reporting.summary import Summary

        document, need = self.document, self.spec.resources
        return Summary(
            name=self.layout.name,
            path=self.path,
            project=self.spec.project,
            objectives=self.objectives,
            fidelity=document["fidelity"],
            sampler=str(self.spec.sampler),
            scheduler=str(self.spec.scheduler),
            seed=self.spec.seed,
            versions=document["versions"],
            hardware=document["machine"],
            spec=self.spec.model_dump(mode="json"),
            importances=self.importances() or None,
            intervals=self.importance_intervals(),
            tables=self.tables,
            cpus=need.workers * need.cpus_per_worker,
            gpus=need.workers * need.gpus_per_worker,
            repeats=self.spec.repeats,
            bursts=next_burst(self.layout),
            best_summary=self.best_summary,
        )

    def resume(self, **changes: Any) -> Sweep:
        """Go on with what is unfinished; see `raybayes.resume`."""
        from raybayes import api

        return api.resume(self.path, **changes)

    def extend(self, trials: int, **changes: Any) -> Sweep:
        """More trials; see `raybayes.extend`."""
        from raybayes import api

        return api.extend(self.path, trials, **changes)

    def confirm(self, top: int = 5, repeats: int = 5, **changes: Any) -> Sweep:
        """The best `top` trials again over `repeats` fresh seeds; see `raybayes.confirm`."""
        from raybayes.sweeps import confirmation

        found: Sweep = confirmation.confirm(self.path, top, repeats, **changes)
        return found
