"""What every project promises, found by its folder: the sixth project is tested without an edit here."""

import math
import os
import time

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

import raybayes as rb
from raybayes import catalog
from raybayes.engine import in_process
from raybayes.engine.controller.controller import SweepController
from raybayes.engine.messages import Decision, Report, Start, TrialRun
from raybayes.engine.worker.process_group import TorchProcessGroup
from raybayes.engine.worker.run_trial import run_trial
from raybayes.store.filesystem import open_storage

catalog.add_root(os.path.join(os.path.dirname(os.path.dirname(__file__)), "projects"))
NAMES = catalog.project_names()
ALONE = {"executor": "local", "checkpoint_every": 0.0}


def numbers(run):
    """Reports without times and attempts."""
    table = run.reports
    timed = [metric.name for metric in catalog.load_project(run.spec.project).metrics if metric.timing]
    return table.drop_columns(
        [n for n in ("seconds", "time", "attempt", "node", *timed) if n in table.column_names]
    ).to_pylist()


@pytest.fixture(scope="module", params=NAMES)
def project(request):
    return catalog.load_project(request.param)


@pytest.fixture(scope="module")
def timed_smoke(project, tmp_path_factory):
    """The smoke run, and how many seconds of processor time it took: a busy machine makes no run long."""
    folder, before = str(tmp_path_factory.mktemp(project.name)), time.process_time()
    run = rb.train(project.name, project.smoke, storage=folder, name="smoke", **ALONE)
    return run, time.process_time() - before


@pytest.fixture(scope="module")
def smoke(timed_smoke):
    return timed_smoke[0]


def test_the_smoke_run_is_short_and_finite(project, smoke, timed_smoke):
    rows = smoke.reports.to_pylist()
    assert timed_smoke[1] < 5
    declared = {metric.name: metric for metric in project.metrics}
    for row in rows:
        for name, metric in declared.items():
            if metric.every_report:
                assert row[name] is not None, f"{name} is declared for every report"
        assert math.isfinite(row[project.metrics[0].name])
    if project.max_steps is not None:
        assert len(rows) == project.max_steps(catalog.configure(project, project.smoke))


def test_every_metric_is_explained(project):
    for metric in project.metrics:
        assert metric.doc, f"{metric.name} has no sentence"


def test_a_report_is_not_called_like_a_metric_which_counts_otherwise(project):
    names = {metric.name for metric in project.metrics}
    assert not names & {project.fidelity, f"{project.fidelity}s"}, "the axis of a figure would have the wrong numbers"


def test_every_key_is_explained(project):
    for key, (kind, meaning) in catalog.documentation(project).items():
        assert kind
        assert meaning or project.name == "parabola", f"{key} has no description"


def test_resume_is_bit_for_bit(project, smoke, tmp_path, monkeypatch):
    steps = len(smoke.reports)
    for cut in sorted({1, steps // 2, steps - 1} - {0, steps}):
        told = SweepController.on_report

        def stop_at(self, key, report, cut=cut, told=told):
            if report.step == cut:
                self.stop()
            return told(self, key, report)

        with monkeypatch.context() as patch:
            patch.setattr(SweepController, "on_report", stop_at)
            stopped = rb.train(project.name, project.smoke, storage=str(tmp_path), name=f"cut{cut}", **ALONE)
        assert stopped.trials["state"].to_pylist() == ["PAUSED"]
        assert len(stopped.reports) == cut
        resumed = rb.resume(stopped.path, executor="local")
        assert str(numbers(resumed)) == str(numbers(smoke)), "as text, so that NaN equals NaN"
        for name in smoke.tables:
            timed = {"seconds", "cost_seconds"}
            expected, found = smoke.table(name), resumed.table(name)
            keep = [column for column in expected.column_names if column not in timed]
            assert found.select(keep).to_pydict() == expected.select(keep).to_pydict(), name


def test_another_seed_gives_other_numbers(project, smoke, tmp_path):
    config = {**project.smoke, **({"noise": 0.1} if project.name == "parabola" else {})}
    first, second = (
        rb.train(project.name, config, storage=str(tmp_path), name=f"seed{seed}", seed=seed, **ALONE) for seed in (1, 2)
    )
    assert numbers(first) != numbers(second)


def test_seeds_trained_together_report_what_they_report_apart(project, tmp_path, monkeypatch):
    if project.fusion is None:
        pytest.skip("it trains one trial after the other")
    groups, whole = [], in_process.run_fused

    def seen(jobs, *arguments):
        groups.append(len(jobs))
        return whole(jobs, *arguments)

    monkeypatch.setattr(in_process, "run_fused", seen)
    wanted = {"trials": 1, "repeats": 3, "config": project.smoke, "storage": str(tmp_path), "executor": "local"}
    apart = rb.sweep(project.name, name="apart", **wanted)
    together = rb.sweep(project.name, name="together", fuse=3, **wanted)
    assert together.trials["state"].to_pylist() == apart.trials["state"].to_pylist() == ["COMPLETE"]
    assert groups == [3]
    names = [m.name for m in project.metrics if not m.timing and m.name in apart.reports.schema.names]
    place = [("repeat", "ascending"), ("step", "ascending")]
    mine, theirs = (found.reports.sort_by(place).select(["repeat", "step", *names]) for found in (together, apart))
    assert mine.num_rows == theirs.num_rows
    for name in mine.column_names:
        expected = [float("nan") if value is None else value for value in theirs[name].to_pylist()]
        found = [float("nan") if value is None else value for value in mine[name].to_pylist()]
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-4, nan_ok=True), name
    assert together.tables == apart.tables


def test_the_space_holds_the_default_configuration(project):
    defaults = catalog.defaults(project)
    space = catalog.load_space(project)
    assert space.outside({name: defaults[name] for name in space.active(defaults)}) is None


def test_all_spaces_fit_the_configuration(project):
    for name in catalog.load_spaces(project.name):
        if name != "WRONG":
            catalog.load_space(project, name)


class Notebook:
    """A controller that keeps what is reported to it."""

    def __init__(self):
        self.reports = []

    def start_run(self, key, node):
        return Start(1)

    def on_report(self, key, report: Report):
        self.reports.append(report.metrics)
        return Decision()

    def before_checkpoint(self, key, step):
        """Nothing to do before a checkpoint."""


def _rank(rank, job, folder):
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
    controller = Notebook()
    run_trial(job, controller, TorchProcessGroup(torch.device("cpu")), torch.device("cpu"), threads=1)
    if rank == 0:
        torch.save(controller.reports, f"{folder}/reports.pt")
    dist.destroy_process_group()


def test_two_ranks_agree_with_one(project, smoke, tmp_path):
    storage = open_storage(str(tmp_path)).child("two")
    job = TrialRun(project.name, dict(smoke.spec.config), 0, 0, 0, storage, 1e9, None, catalog.roots())
    mp.spawn(_rank, (job, str(tmp_path)), nprocs=2)
    found = torch.load(tmp_path / "reports.pt")
    alone = smoke.reports.to_pylist()
    assert found, "rank 0 reported nothing"
    assert all(math.isfinite(row[project.metrics[0].name]) for row in found)
    names = [metric.name for metric in project.metrics if metric.name not in ("seconds",)]
    if project.parallel == "data":
        objective = project.metrics[0].name
        assert found[0][objective] == pytest.approx(alone[0][objective], rel=1e-4)
    elif project.parallel == "members":  # the same members, bit for bit, so the same finished ensemble
        for name in names:
            assert found[-1].get(name) == alone[-1][name] or math.isnan(alone[-1][name]), name
