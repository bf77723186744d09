"""What every project promises: finite numbers that depend on the seed alone, however often a run is interrupted."""

from __future__ import annotations

import math
import multiprocessing
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch.multiprocessing.spawn import start_processes

from raybayes import catalog
from raybayes.api import Sweep, resume, train
from raybayes.contract import Project
from raybayes.engine.messages import TrialRun
from raybayes.engine.worker.process_group import TorchProcessGroup
from raybayes.engine.worker.run_trial import run_trial
from raybayes.store.filesystem import open_storage
from raybayes.testing.controller import ControllerHarness, RecordingController

SMOKE_S = 5.0  # of processor time, one core
RANKS_S = 60.0  # after which a rank that waits for the other one fails the test
_UNLIKE = {"seconds", "time", "attempt", "node", "cost_seconds"}  # columns that two equal runs need not share
_smokes: dict[str, tuple[Sweep, float]] = {}


class ProjectContract:
    """Inherit it and give the fixture `project`; each test is a promise.

    Example:
        >>> class TestSlope(ProjectContract):                                   # doctest: +SKIP
        ...     @pytest.fixture
        ...     def project(self):
        ...         return catalog.load_project("slope")
    """

    @pytest.fixture
    def project(self) -> Project:
        """The project under test."""
        raise NotImplementedError("give the fixture `project`: return catalog.load_project('<its name>')")

    def seeded_config(self, project: Project) -> Mapping[str, Any]:
        """A configuration whose numbers depend on the seed: the smoke configuration, unless that draws nothing."""
        return project.smoke

    def space_names(self, project: Project) -> Sequence[str]:
        """The spaces that must fit the project: all in its file."""
        return list(catalog.load_spaces(project.name))

    @pytest.fixture
    def timed_smoke(self, project: Project, tmp_path_factory: pytest.TempPathFactory) -> tuple[Sweep, float]:
        """The smoke run, once per project, and its seconds of processor time: a busy machine makes no run long."""
        if project.name not in _smokes:
            folder, before = str(tmp_path_factory.mktemp(project.name)), time.process_time()
            run = _trained(project, project.smoke, folder, "smoke")
            _smokes[project.name] = run, time.process_time() - before
        return _smokes[project.name]

    @pytest.fixture
    def smoke(self, timed_smoke: tuple[Sweep, float]) -> Sweep:
        """The smoke run."""
        return timed_smoke[0]

    def test_the_catalogue_finds_the_project(self, project: Project) -> None:
        assert catalog.load_project(project.name) is project, "workers look for it by its name"

    def test_the_smoke_run_is_short_and_finite(self, project: Project, timed_smoke: tuple[Sweep, float]) -> None:
        run, seconds = timed_smoke
        assert seconds < SMOKE_S
        rows = run.reports.to_pylist()
        assert rows, "the training function never reported"
        for row in rows:
            for metric in project.metrics:
                if metric.every_report:
                    assert row[metric.name] is not None, f"{metric.name} is declared for every report"
            assert math.isfinite(row[project.metrics[0].name])
        if project.max_steps is not None:
            assert len(rows) == project.max_steps(catalog.configure(project, project.smoke))

    def test_every_metric_is_explained(self, project: Project) -> None:
        for metric in project.metrics:
            assert metric.doc, f"{metric.name} has no sentence"

    def test_no_metric_is_named_like_the_fidelity(self, project: Project) -> None:
        names = {metric.name for metric in project.metrics}
        assert not names & {project.fidelity, f"{project.fidelity}s"}, "a figure's axis would have the wrong numbers"

    def test_every_key_is_explained(self, project: Project) -> None:
        for key, (kind, meaning) in catalog.documentation(project).items():
            assert kind
            assert meaning, f"{key} has no description"

    def test_a_resumed_run_equals_an_uninterrupted_one(self, project: Project, smoke: Sweep, tmp_path: Path) -> None:
        """Bit for bit; the first resumption happens in a process of its own, which has only the stored state."""
        steps = len(smoke.reports)
        for cut in sorted({1, steps // 2, steps - 1} - {0, steps}):
            options: dict[str, Any] = {"name": f"cut{cut}", "config": project.smoke, "checkpoint_every": 0.0}
            with ControllerHarness(project.name, tmp_path, kind="train", **options) as stopped:
                stopped.train(until=cut)
            assert stopped.results.trials["state"].to_pylist() == ["PAUSED"]
            assert len(stopped.results.reports) == cut
            if cut == 1:
                _in_fresh_processes(_resume, (stopped.path, catalog.roots()), 1)
            else:
                resume(stopped.path, executor="local")
            attempts = stopped.results.reports["attempt"].to_pylist()
            assert attempts == [1] * cut + [2] * (steps - cut), "training did not resume from the stored state"
            _require_equal(stopped.results, smoke, project)

    def test_another_seed_gives_other_numbers(self, project: Project, tmp_path: Path) -> None:
        config = self.seeded_config(project)
        first, second = (_trained(project, config, str(tmp_path), f"seed{seed}", seed) for seed in (1, 2))
        assert _numbers(first, project) != _numbers(second, project)

    def test_seeds_trained_together_report_what_they_report_apart(self, project: Project, tmp_path: Path) -> None:
        if project.fusion is None:
            pytest.skip("it trains one trial after the other")
        wanted: dict[str, Any] = {"trials": 1, "repeats": 3, "config": dict(project.smoke)}
        found: dict[str, Sweep] = {}
        for name, fuse in (("apart", "never"), ("together", 3)):
            with ControllerHarness(project.name, tmp_path, name=name, fuse=fuse, **wanted) as sweep:
                sweep.train()
            assert sweep.results.trials["state"].to_pylist() == ["COMPLETE"]
            assert sweep.fused == (() if fuse == "never" else (fuse,))
            found[name] = sweep.results
        apart, together = found["apart"], found["together"]
        names = [m.name for m in project.metrics if not m.timing and m.name in apart.reports.schema.names]
        place = [("repeat", "ascending"), ("step", "ascending")]
        mine, theirs = (one.reports.sort_by(place).select(["repeat", "step", *names]) for one in (together, apart))
        assert mine.num_rows == theirs.num_rows
        for name in mine.column_names:
            expected = [math.nan if value is None else value for value in theirs[name].to_pylist()]
            values = [math.nan if value is None else value for value in mine[name].to_pylist()]
            assert values == pytest.approx(expected, rel=1e-3, abs=1e-4, nan_ok=True), name
        assert together.tables == apart.tables

    def test_the_space_holds_the_default_configuration(self, project: Project) -> None:
        defaults = catalog.defaults(project)
        space = catalog.load_space(project)
        assert space.outside({name: defaults[name] for name in space.active(defaults)}) is None

    def test_all_spaces_fit_the_configuration(self, project: Project) -> None:
        for name in self.space_names(project):
            catalog.load_space(project, name)

    def test_two_ranks_agree_with_one(self, project: Project, smoke: Sweep, tmp_path: Path) -> None:
        storage = open_storage(str(tmp_path)).child("two")
        run = TrialRun(project.name, dict(smoke.spec.config), 0, 0, 0, storage, 1e9, None, catalog.roots())
        _in_fresh_processes(_rank, (run, str(tmp_path)), 2)
        found = torch.load(tmp_path / "reports.pt")
        alone = smoke.reports.to_pylist()
        assert found, "rank 0 reported nothing"
        assert all(math.isfinite(row[project.metrics[0].name]) for row in found)
        if project.parallel == "data":
            objective = project.metrics[0].name
            assert found[0][objective] == pytest.approx(alone[0][objective], rel=1e-4)
        elif project.parallel == "members":  # the same members, bit for bit, so the same finished ensemble
            for metric in project.metrics:
                if metric.name not in _UNLIKE:
                    mine, theirs = found[-1].get(metric.name), alone[-1][metric.name]
                    assert mine == theirs or math.isnan(theirs), metric.name


def _trained(project: Project, config: Mapping[str, Any], storage: str, name: str, seed: int = 0) -> Sweep:
    return train(
        project.name, config, storage=storage, name=name, seed=seed, checkpoint_every=0.0, executor="local"
    )  # fmt: skip


def _numbers(run: Sweep, project: Project) -> list[dict[str, Any]]:
    """Reports without times and attempts."""
    table = run.reports
    unlike = _UNLIKE | {metric.name for metric in project.metrics if metric.timing}
    found: list[dict[str, Any]] = table.drop_columns([n for n in table.column_names if n in unlike]).to_pylist()
    return found


def _require_equal(found: Sweep, expected: Sweep, project: Project) -> None:
    assert str(_numbers(found, project)) == str(_numbers(expected, project)), "as text, so that NaN equals NaN"
    assert found.tables == expected.tables
    for name in expected.tables:
        mine, theirs = found.table(name), expected.table(name)
        keep = [column for column in theirs.column_names if column not in _UNLIKE]
        assert mine.select(keep).to_pydict() == theirs.select(keep).to_pydict(), name


def _in_fresh_processes(function: Callable[..., None], arguments: tuple[Any, ...], count: int) -> None:
    """Run `function(index, *arguments)` in processes that have loaded the libraries and done nothing with them."""
    multiprocessing.get_context("forkserver").set_forkserver_preload([__name__])
    start_processes(function, arguments, nprocs=count, start_method="forkserver")


def _resume(index: int, path: str, roots: tuple[str, ...]) -> None:
    """What a fresh process does with an interrupted run."""
    for root in roots:
        catalog.add_root(root)
    resume(path, executor="local")


def _rank(rank: int, run: TrialRun, folder: str) -> None:
    """One of two ranks; rank 0 leaves its reports in the folder."""
    torch.set_num_threads(1)
    limit = timedelta(seconds=RANKS_S)
    dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2, timeout=limit)
    controller = RecordingController()
    run_trial(run, controller, TorchProcessGroup(torch.device("cpu")), torch.device("cpu"), threads=1)
    if rank == 0:
        torch.save(controller.reports, f"{folder}/reports.pt")
    dist.destroy_process_group()
