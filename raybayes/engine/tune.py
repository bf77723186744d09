"""The Ray Tune loop of a burst: Tune places and starts trials and reuses their processes; the desk decides all else.

Tune restarts nothing either. A job whose process is gone goes back to the desk, which hands it out again: to a node
that is dead but not yet known to be, Tune would send it again until all retries are spent.
"""

from __future__ import annotations

import logging
import os
import shutil
import tempfile
from typing import Any

import ray
import ray.cloudpickle as cloudpickle
import ray.exceptions
import torch
from ray import tune
from ray.tune.execution.placement_groups import PlacementGroupFactory
from ray.tune.search import Searcher

from raybayes.engine.cluster import Cluster
from raybayes.engine.context import Alone
from raybayes.engine.desk import RemoteDesk
from raybayes.engine.job import Job
from raybayes.engine.perform import attempt, threads_of
from raybayes.errors import ClusterError, StoreError
from raybayes.spec import Resources, SweepSpec

_LOG = logging.getLogger("raybayes.engine")


class TrialActor(tune.Trainable):  # type: ignore[misc]
    """One slot's process, reused from trial to trial. A trial of several workers trains in a Ray Train run under it."""

    def setup(self, config: dict[str, Any], desk: Any = None, spec: SweepSpec | None = None) -> None:
        assert spec is not None
        self._desk, self._spec = RemoteDesk(desk), spec
        self._job: Job = config["job"]

    def __repr__(self) -> str:
        """What Ray's dashboard and logs call this actor: its sweep, because it serves many trials."""
        return f"raybayes trials of {self._spec.name}" if hasattr(self, "_spec") else "raybayes trials"

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        self._job = new_config["job"]
        return True

    def step(self) -> dict[str, Any]:
        need = self._spec.resources
        if need.workers > 1:
            from raybayes.engine.train import train_group

            error = train_group(self._job, self._desk, need, self._spec.retries)
        else:
            device = torch.device("cuda:0" if need.gpus_per_worker > 0 else "cpu")
            error = attempt(self._job, self._desk, Alone(), device, threads_of(need.cpus_per_worker))
        self._desk.finish(self._job.key, error)
        return {"done": True}


class Bridge(Searcher):  # type: ignore[misc]
    """Hands the desk's jobs to Tune, one for each free slot. It remembers nothing: the study does."""

    def __init__(self, desk: Any, concurrency: int) -> None:
        super().__init__(metric="done", mode="max")
        self._desk, self._concurrency = desk, concurrency
        self._live: set[str] = set()

    def suggest(self, trial_id: str) -> Any:
        if len(self._live) >= self._concurrency:
            return None
        job, over = ray.get(self._desk.next_job.remote())
        if job is None:
            return Searcher.FINISHED if over else None
        self._live.add(trial_id)
        return {"job": job}

    def on_trial_complete(self, trial_id: str, result: Any = None, error: bool = False) -> None:
        self._live.discard(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Nothing to save."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""


class Mourner(tune.Callback):  # type: ignore[misc]
    """Tells the desk which jobs have lost their process.

    Attributes:
        refused: what the storage said when it refused something; the burst is told to stop then.
    """

    def __init__(self, desk: Any) -> None:
        self._desk = desk
        self.refused: str | None = None

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        error, counts = _error_of(trial), None
        if isinstance(error, ray.exceptions.RayActorError) and error.actor_init_failed:
            counts = True  # the next process cannot be made either
        cause = getattr(error, "cause", None)
        if isinstance(cause, StoreError):
            self.refused, counts = str(cause), False
            ray.get(self._desk.stop.remote())
        job: Job = trial.config["job"]
        if ray.get(self._desk.lost.remote(job.key, _reason(error), counts)):
            _LOG.warning("trial %d: its worker was lost: %s", job.trial, _reason(error))


def _error_of(trial: Any) -> Exception | None:
    """The exception that Tune has kept of a trial."""
    if trial.pickled_error_file is None:
        return None
    with open(trial.pickled_error_file, "rb") as file:
        error: Exception = cloudpickle.load(file)
    return error


def _reason(error: Exception | None) -> str:
    """What Ray says of a death, without its names for the process (lines that begin with a tab) and its advice."""
    told = [line.strip() for line in str(error or "").splitlines() if line.strip() and not line.startswith("\t")]
    return told[-1].partition(" Some common causes")[0] if told else "Ray does not say why"


def run_trials(desk: Any, spec: SweepSpec, cluster: Cluster, concurrency: int) -> None:
    """Work through a burst with Ray Tune, `concurrency` trials at once.

    Raises:
        ClusterError: the cluster, or the desk's process, was lost. Everything is stored.
        StoreError: the storage has refused what a trial had to store; the burst is at its end.
    """
    mourner = Mourner(desk)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)  # it would call a sweep incomplete that lost a worker
    # With Tune's default of one pending trial, a trial waits until the one before it has been taken up by its actor,
    # and short trials never overlap.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(max(2, concurrency))
    scratch = tempfile.mkdtemp(prefix="raybayes-tune-")
    trainable = tune.with_resources(
        tune.with_parameters(TrialActor, desk=desk, spec=spec), _bundle(spec.resources, cluster)
    )
    tuner = tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=Bridge(desk, concurrency),
            num_samples=-1,
            reuse_actors=True,
            trial_name_creator=_trial_name,
            trial_dirname_creator=_trial_name,
        ),
        run_config=tune.RunConfig(
            name=spec.name,
            storage_path=scratch,
            verbose=0,
            callbacks=[mourner],
            failure_config=tune.FailureConfig(max_failures=0),
            checkpoint_config=tune.CheckpointConfig(checkpoint_at_end=False),  # ours are in the sweep's store
        ),
    )
    try:
        tuner.fit()
    except (ray.exceptions.RayError, tune.error.TuneError) as error:
        reason = str(error).strip().splitlines()[-1]
        raise ClusterError(f"the Ray cluster was lost ({reason}); everything is stored, go on with resume.") from None
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    if mourner.refused is not None:
        raise StoreError(mourner.refused)


def _trial_name(trial: Any) -> str:
    job: Job = trial.config["job"]
    return f"{job.project}-{job.trial:05d}-{job.repeat}-{trial.trial_id}"


def _bundle(need: Resources, cluster: Cluster) -> PlacementGroupFactory:
    if need.workers > 1:  # the workers have their own bundles; this is their trial's ticket
        return PlacementGroupFactory([cluster.ticket])
    bundle = {"CPU": need.cpus_per_worker, "GPU": need.gpus_per_worker}
    return PlacementGroupFactory([{name: amount for name, amount in bundle.items() if amount}])
