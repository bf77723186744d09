"""The sides that are compared. Each runs `trials` trials of the same function, two at once, and keeps what it keeps.

Everything is imported and Ray is running before a side's clock starts; each side has a process of its own.
"""

from __future__ import annotations

import functools
import importlib
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.sweep_overhead.objective import work

PROJECTS = Path(__file__).parent.parent / "projects"
SLOTS = 2


@dataclass(frozen=True)
class Task:
    """What a side has to do.

    Args:
        trials: how many.
        sleep_s: how long each one idles.
        folder: an empty folder of its own, for results.
        seed: of the sampler.
    """

    trials: int
    sleep_s: float
    folder: Path
    seed: int

    @property
    def stamps(self) -> str:
        """The file of time stamps."""
        return str(self.folder / "stamps")


def raybayes_sweep(task: Task) -> None:
    """`rb.sweep` on Ray with TPE: study, reports and trials are on disk when it returns."""
    _raybayes(task, workers=1)


def raybayes_nested(task: Task) -> None:
    """`rb.sweep` with trials of two workers."""
    _raybayes(task, workers=2)


def raybayes_isolated(task: Task) -> None:
    """`rb.sweep` with trials of two workers, a group for each."""
    _raybayes(task, workers=2, isolate=True)


def _raybayes(task: Task, workers: int, isolate: bool = False) -> None:
    import raybayes as rb
    from raybayes import catalog

    catalog.add_root(str(PROJECTS))
    rb.sweep(
        "instant",
        trials=task.trials,
        config={"sleep_s": task.sleep_s, "stamps": task.stamps},
        sampler="tpe",
        seed=task.seed,
        workers=workers,
        isolate=isolate,
        storage=str(task.folder),
        name="sweep",
    )


def tune_default(task: Task) -> None:
    """Ray Tune with OptunaSearch as their documentation shows them: a new actor for each trial."""
    _tune(task, reuse_actors=False)


def tune_reuse(task: Task) -> None:
    """Ray Tune with OptunaSearch and actors that are used again."""
    _tune(task, reuse_actors=True)


def tune_quiet(task: Task) -> None:
    """The same without the CSV, JSON and TensorBoard files."""
    os.environ["TUNE_DISABLE_AUTO_CALLBACK_LOGGERS"] = "1"
    _tune(task, reuse_actors=True)


def _tune(task: Task, reuse_actors: bool) -> None:
    from optuna.samplers import TPESampler
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    sampler = TPESampler(seed=task.seed, multivariate=True, constant_liar=True)  # as raybayes sets it
    trainable = functools.partial(_tune_trial, sleep_s=task.sleep_s, stamps=task.stamps)
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        param_space={"x": tune.uniform(-1.0, 1.0), "y": tune.loguniform(1e-3, 1.0)},
        tune_config=tune.TuneConfig(
            metric="loss",
            mode="min",
            search_alg=OptunaSearch(sampler=sampler),
            num_samples=task.trials,
            max_concurrent_trials=SLOTS,  # without it Tune stages one trial at a time and short ones never overlap
            reuse_actors=reuse_actors,
        ),
        run_config=tune.RunConfig(name="sweep", storage_path=str(task.folder), verbose=0),
    )
    results = tuner.fit()
    if results.num_errors:
        raise RuntimeError(f"{results.num_errors} of {task.trials} trials failed: {results.errors[0]}")


def _tune_trial(config: dict[str, float], sleep_s: float, stamps: str) -> None:
    from ray import tune

    tune.report({"loss": work(config["x"], config["y"], sleep_s, stamps)})


def tune_train(task: Task) -> None:
    """Ray Tune with a Ray Train run of two workers in each trial, as their documentation shows it, one at a time."""
    from optuna.samplers import TPESampler
    from ray import tune
    from ray.tune.search.optuna import OptunaSearch

    trainable = functools.partial(_tune_train_trial, sleep_s=task.sleep_s, stamps=task.stamps, folder=str(task.folder))
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"trial_slot": 1}),
        param_space={"x": tune.uniform(-1.0, 1.0), "y": tune.loguniform(1e-3, 1.0)},
        tune_config=tune.TuneConfig(
            metric="loss",
            mode="min",
            search_alg=OptunaSearch(sampler=TPESampler(seed=task.seed, multivariate=True, constant_liar=True)),
            num_samples=task.trials,
            max_concurrent_trials=1,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(name="sweep", storage_path=str(task.folder), verbose=0),
    )
    results = tuner.fit()
    if results.num_errors:
        raise RuntimeError(f"{results.num_errors} of {task.trials} trials failed: {results.errors[0]}")


def _tune_train_trial(config: dict[str, float], sleep_s: float, stamps: str, folder: str) -> None:
    import uuid

    import ray.train
    from ray import tune
    from ray.train.torch import TorchConfig, TorchTrainer

    TorchTrainer(
        functools.partial(_tune_train_worker, sleep_s=sleep_s, stamps=stamps),
        train_loop_config=config,
        scaling_config=ray.train.ScalingConfig(num_workers=2),
        torch_config=TorchConfig(backend="gloo"),
        run_config=ray.train.RunConfig(
            name=f"run-{uuid.uuid4().hex[:8]}",
            storage_path=folder,
            logging_config=ray.train.LoggingConfig(log_level="ERROR"),
        ),
    ).fit()
    tune.report({"loss": config["x"] ** 2})


def _tune_train_worker(config: dict[str, float], sleep_s: float, stamps: str) -> None:
    import ray.train

    rank = ray.train.get_context().get_world_rank()
    ray.train.report({"loss": work(config["x"], config["y"], sleep_s, stamps if rank == 0 else "")})


def bare_train(task: Task) -> None:
    """One Ray Train run of two workers after the other, without a search, a store or Tune."""
    import ray.train
    from ray.train.torch import TorchConfig, TorchTrainer

    for number in range(task.trials):
        TorchTrainer(
            functools.partial(_train_worker, sleep_s=task.sleep_s, stamps=task.stamps),
            scaling_config=ray.train.ScalingConfig(num_workers=2),
            torch_config=TorchConfig(backend="gloo"),
            run_config=ray.train.RunConfig(
                name=f"run-{number}",
                storage_path=str(task.folder),
                logging_config=ray.train.LoggingConfig(log_level="ERROR"),
            ),
        ).fit()


def _train_worker(sleep_s: float, stamps: str) -> None:
    import ray.train

    rank = ray.train.get_context().get_world_rank()
    ray.train.report({"loss": work(0.5, 0.5, sleep_s, stamps if rank == 0 else "")})


def plain_optuna(task: Task) -> None:
    """Two processes that each run `study.optimize` on one journal file, as Optuna's documentation shows."""
    processes = [subprocess.Popen([sys.executable, "-c", _optuna_program(task, rank)]) for rank in range(SLOTS)]
    try:
        codes = [process.wait() for process in processes]
    finally:
        for process in processes:
            process.kill()
    if any(codes):
        raise RuntimeError(f"Optuna's processes ended with {codes}")


def _optuna_program(task: Task, rank: int) -> str:
    trials = task.trials // SLOTS + (rank < task.trials % SLOTS)
    arguments = f"{trials}, {task.sleep_s}, {str(task.folder)!r}, {task.seed * SLOTS + rank}"
    return f"from benchmarks.sweep_overhead.sides import optuna_process; optuna_process({arguments})"


def optuna_process(trials: int, sleep_s: float, folder: str, seed: int) -> None:
    """One of the processes of `plain_optuna`."""
    import optuna
    from optuna.storages.journal import JournalFileBackend

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(
        study_name="sweep",
        storage=optuna.storages.JournalStorage(JournalFileBackend(f"{folder}/journal")),
        load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=seed, multivariate=True, constant_liar=True),
    )

    def objective(trial: Any) -> float:
        x, y = trial.suggest_float("x", -1.0, 1.0), trial.suggest_float("y", 1e-3, 1.0, log=True)
        loss = work(x, y, sleep_s, f"{folder}/stamps")
        trial.report(loss, 1)
        return loss

    study.optimize(objective, n_trials=trials)


@dataclass(frozen=True)
class Side:
    """One side.

    Args:
        label: how the tables call it.
        run: does a task.
        on_ray: whether Ray must be running.
    """

    label: str
    run: Callable[[Task], None]
    on_ray: bool = True

    @contextmanager
    def ready(self) -> Iterator[None]:
        """Start Ray as raybayes does (two CPUs, no dashboard, a token of its own), import what the side needs."""
        if not self.on_ray:
            yield
            return
        from raybayes.engine.on_ray.connect import connect
        from raybayes.spec.sweep_spec import Resources

        with connect(Resources()):
            if not self.label.startswith("raybayes"):
                for name in [name for name in os.environ if name.startswith("TUNE_")]:
                    del os.environ[name]  # what raybayes tells Tune, others do not know of
            for module in ("ray.train.torch", "ray.tune.search.optuna", "raybayes.engine.on_ray.tune"):
                importlib.import_module(module)

            yield


SIDES = {
    "raybayes": Side("raybayes", raybayes_sweep),
    "tune": Side("Ray Tune, an actor a trial", tune_default),
    "tune-reuse": Side("Ray Tune, reuse_actors", tune_reuse),
    "tune-quiet": Side("Ray Tune, reuse_actors, no loggers", tune_quiet),
    "optuna": Side("Optuna, 2 processes, journal file", plain_optuna, on_ray=False),
    "nested": Side("raybayes", raybayes_nested),
    "isolated": Side("raybayes --isolate", raybayes_isolated),
    "tune-train": Side("Ray Tune, a Ray Train run a trial", tune_train),
    "train": Side("Ray Train, 2 workers, no search", bare_train),
}
