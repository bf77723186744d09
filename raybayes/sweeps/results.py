"""A sweep or a run as a researcher reads it: tables, best trials, artefacts. Reads the folder alone, without Ray."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Self

import pyarrow as pa

from raybayes import catalog
from raybayes.contract import Findings
from raybayes.errors import RaybayesError, SpecError, StoreError
from raybayes.seeds import derive
from raybayes.store.logs.reports import FIXED, next_burst_number
from raybayes.sweeps.stored import StoredSweep
from raybayes.wording import unknown

if TYPE_CHECKING:
    import pandas
    from matplotlib.figure import Figure

    from raybayes.reporting.page.make_page import Page
    from raybayes.reporting.summary import Summary
    from raybayes.search.outcomes.confirm import Confirmation
    from raybayes.search.outcomes.records import TrialRecord


class SweepResult(StoredSweep):
    """What a finished, running or interrupted sweep (or a run: a sweep of one trial) has found so far. It only reads.

    Args:
        path: its folder or URI.
        keep: what must live as long as this object does: a temporary folder.

    Raises:
        StoreError: there is no sweep, or a newer raybayes wrote it.
    """

    def __repr__(self) -> str:
        states = self.trials["state"].to_pylist()
        counts = ", ".join(f"{states.count(state)} {state}" for state in sorted(set(states))) or "no trials"
        return f"<{self.spec.kind} {self.path}: {counts}>"

    def _repr_html_(self) -> str:
        """What a notebook shows."""
        from raybayes.reporting.tables.notebook import render_run, render_sweep

        if self.spec.kind == "train":
            return render_run(self.path, self.spec.project, self.trials, self.reports, FIXED.names)
        return render_sweep(self.path, self.spec.project, self.trials, self.objectives)

    def frame(self, what: str = "trials") -> pa.Table:
        """The trials, the reports, or a stored table, by name.

        Raises:
            StoreError: there is no such table; the message lists those that there are.
        """
        if what in ("trials", "reports"):
            found: pa.Table = getattr(self, what)
            return found
        if what not in self.tables:
            raise StoreError(f"{self.path}: {unknown('table', what, ['trials', 'reports', *self.tables])}")
        return self.table(what)

    def to_pandas(self, what: str = "trials") -> pandas.DataFrame:
        """`frame` as a pandas data frame; missing values are NaN or None."""
        try:
            return self.frame(what).to_pandas()
        except ImportError:
            table = f".frame({what!r})"
            raise SpecError(
                f"pandas is not installed; run pip install pandas, or use {table}, a pyarrow.Table."
            ) from None

    @cached_property
    def stages(self) -> list[Self]:
        """The confirmations of this sweep, oldest first, each a sweep of its own."""
        paths = (self.layout.confirmation(number) for number in itertools.count(1))
        exists = self.layout.storage.exists
        present = itertools.takewhile(lambda path: exists(f"{path}/{self.layout.spec}"), paths)
        return [type(self)(self.layout.storage.display_path(path)) for path in present]

    @cached_property
    def confirmed(self) -> dict[int, Confirmation]:
        """What fresh seeds say of the trials that were confirmed, by number."""
        from raybayes.search.outcomes.confirm import Stage, pool_confirmations

        stages = [
            Stage(stage.records, [entry["trial"] for entry in stage.document["candidates"]], stage.spec.repeats)
            for stage in self.stages
        ]
        return pool_confirmations(stages, self.records, self.objectives) if stages else {}

    @cached_property
    def pooled(self) -> list[TrialRecord]:
        """The trials, those of equal configurations with the mean over all their runs."""
        from raybayes.search.outcomes.repeats import pool_repeats

        return self.records if self.spec.kind == "confirm" else pool_repeats(self.records, self.objectives)

    @property
    def best_summary(self) -> str:
        """One or two sentences on the best trial: its value with its standard error, and what it rests on."""
        from raybayes.search.outcomes.best_summary import best_summary

        return best_summary(self.pooled, self.confirmed, self.objectives, self.spec.constraints)

    @property
    def warm_start_remark(self) -> str:
        """What was done to trials of a warm start whose search space had changed since; "" if nothing."""
        from raybayes.search.warm_start import WarmStart

        storage = self.layout.storage
        if not storage.exists(self.layout.warm_start):
            return ""
        return WarmStart.from_json(storage.read_bytes(self.layout.warm_start)).remark

    @property
    def stop_reason(self) -> str:
        """Why the sweep has ended before it had all its trials (`stop_when`, `budget`); "" if it has not."""
        return self._study.stop_reason

    @cached_property
    def trials(self) -> pa.Table:
        """One row per trial: trial, state, steps, objectives, n, config.*, seconds, times, node, attempts, error.

        Trials of equal configurations are repeats: each has the mean over their `n` runs, with "<name>.se".

        Of a confirmed trial, the objectives are means over `n` fresh seeds, with their standard errors in "<name>.se";
        "<name>.searched" is what the search had found, and `confirmed` whether the trial may win.
        """
        from raybayes.search.outcomes.best_summary import merge_confirmations

        return merge_confirmations(self._searched, self.confirmed, self.objectives)

    @property
    def _searched(self) -> pa.Table:
        from raybayes.search.study.trials_table import trials_table

        return trials_table(self.pooled, self.space, self.objectives)

    @property
    def best(self) -> dict[str, Any]:
        """The best trial's row: by the mean over fresh seeds if the sweep was confirmed, else by what the search found.

        Raises:
            StoreError: no trial is complete, or none satisfies the constraints.
        """
        row: dict[str, Any] = self.pareto.slice(0, 1).to_pylist()[0]
        return row

    @property
    def pareto(self) -> pa.Table:
        """The trials that no other dominates; for one objective the best alone.

        Raises:
            StoreError: as `best`.
        """
        from raybayes.search.outcomes.confirm import eligible_records
        from raybayes.search.outcomes.ranking import find_pareto_front

        numbers = find_pareto_front(eligible_records(self.pooled, self.confirmed), self.objectives)
        if not numbers:
            raise StoreError(f"{self.path}: no best trial. {self.best_summary}")
        rows = {number: i for i, number in enumerate(self.trials["trial"].to_pylist())}
        return self.trials.take(pa.array([rows[number] for number in numbers]))

    def config(self, trial: int | None = None) -> dict[str, Any]:
        """The whole configuration of a trial (the best one by default), dotted names, ready for `rb.train`."""
        number = self.best["trial"] if trial is None else trial
        record = next((r for r in self.records if r.number == number), None)
        if record is None:
            raise StoreError(f"{self.path}: unknown trial {number}; valid trials: 0 to {len(self.records) - 1}.")
        if self.spec.kind == "replay" or self.spec.training is not None:
            return {**self.spec.config, **record.params}
        project = catalog.load_project(self.spec.project)
        return catalog.filled(project, {**self.spec.config, **record.params})

    def importances(self) -> dict[str, float]:
        """Share of each parameter in reaching the best results (PED-ANOVA); empty below 4 finished trials."""
        return self._study.importances()

    def importance_intervals(self) -> dict[str, tuple[float, float]]:
        """How far each of `importances` may be off: 5 % and 95 % quantiles over bootstrap resamples of the trials."""
        return self._study.importance_intervals(derive(self.spec.seed, "importances"))

    def state(self, trial: int | None = None, repeat: int = 0) -> dict[str, Any]:
        """The newest state that a trial has stored (rank 0's): what its training function would resume from.

        Args:
            trial: by default the best one, or the only one of a run.

        Raises:
            StoreError: the trial has stored none, or a sweep kept only those of better trials.
        """
        if trial is None:
            trial = 0 if self.spec.kind == "train" else int(self.best["trial"])
        return self.stored_state(trial, repeat)

    def figure(self, name: str, parameters: Sequence[str] = ()) -> Figure:
        """A figure as matplotlib has it: "contour", "rank", "distribution" or "hypervolume".

        Args:
            parameters: for contour and rank: two, or three for three pairs; by default those that matter most.

        Raises:
            SpecError: an unknown name, or too little to draw it from.
        """
        from raybayes.reporting.figures.chosen import draw_chosen

        return draw_chosen(name, self.trials, self.space, self.objectives, parameters)

    def report(self, figures: Sequence[str] = ()) -> str:
        """Draw all figures (PNG and SVG, in `figures/`) and write report.html; returns where the page lies.

        Args:
            figures: names of more figures: see `figure`.
        """
        from raybayes.reporting.page.make_page import write_page

        return write_page(self.layout, self.page(figures))

    def page(self, figures: Sequence[str] = ()) -> Page:
        """What `report` writes, in memory. If the project cannot add its part, the page says why."""
        from raybayes.reporting.figures.chosen import CHOSEN
        from raybayes.reporting.page.make_page import make_page

        try:
            findings, notice = self.findings(), ""
        except RaybayesError as error:
            findings, notice = Findings(), f"The project's own tables and figures are missing: {error}"
        chosen = {name: (self.figure(name), CHOSEN[name]) for name in figures}
        return make_page(
            self.summary,
            self.trials,
            self.reports,
            findings=findings,
            notice=notice,
            profile=self.profile(),
            chosen=chosen,
        )

    def findings(self) -> Findings:
        """What the project makes of the whole sweep: short tables and figures; empty if it makes nothing of it.

        Raises:
            RaybayesError: the project says why it cannot; `TrialError` if its own function failed.
        """
        from raybayes.sweeps import analysis

        return analysis.findings(self)

    def rescore(self, settings: Mapping[str, Any] | None = None) -> Findings:
        """The results recomputed from the stored tables alone, without training; `.results` is the long table.

        Args:
            settings: values of the project's `Rescore.Settings`, by name.

        Raises:
            SpecError: the project cannot rescore, or a setting is wrong.
            RaybayesError: the stored tables do not allow it; the message says why.
        """
        from raybayes.sweeps import analysis

        return analysis.rescore(self, settings or {})

    def command(self, name: str, inputs: Sequence[str], settings: Mapping[str, Any] | None = None) -> Findings:
        """Do with this run what its project offers under that name; see `raybayes.contract.Command`.

        Args:
            name: of one of the project's commands.
            inputs: what the command works on, file names as a rule.
            settings: values of the command's `Settings`, by name.

        Raises:
            SpecError: the project has no such command, or a setting is wrong.
            RaybayesError: the project says why it cannot.
        """
        from raybayes.sweeps import analysis

        return analysis.run_command(self, name, inputs, settings or {})

    @property
    def summary(self) -> Summary:
        """The facts at the top of a report."""
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
            bursts=next_burst_number(self.layout),
            best_summary=self.best_summary,
        )
