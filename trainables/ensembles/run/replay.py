"""Trainings that are stored once and reused by trials which differ only in what comes after the training.

The scale of SWAG and the prior of a Laplace approximation change nothing in the training, so a search over them need
not repeat it. A trained network lies in `$RAYBAYES_CACHE/members`, else in `$XDG_CACHE_HOME/raybayes/members` (or the
same below `~/.cache`), under a digest of everything that the training depends on. The validation predictions after each
epoch are stored with it, so that a trial which reuses the training makes the same reports as one that trains.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pickle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from raybayes.clock import WALL
from raybayes.contract import State
from raybayes.errors import StoreError
from trainables.ensembles.config import Config
from trainables.ensembles.run.interface import Predictions
from trainables.ensembles.run.plan import Plan
from trainables.ensembles.run.run import Run, copied

SCHEMA = 1
SHARED = (
    "dataset",
    "train_images",
    "validation",
    "split_seed",
    "arch",
    "batch",
    "lr",
    "schedule",
    "momentum",
    "wd",
    "augment",
)
COLLECTING = ("swag", "swa")  # methods whose training leaves more than a network


def members_folder() -> Path:
    """The folder in which trained networks are stored."""
    if named := os.environ.get("RAYBAYES_CACHE"):
        return Path(named).expanduser() / "members"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "raybayes" / "members"


def training_part(config: Config) -> dict[str, Any]:
    """The values that one run's training depends on, for methods that draw their members after it."""
    whole = config.model_dump(mode="json")
    part = {name: whole[name] for name in SHARED}
    if config.method in COLLECTING:
        low_rank = config.method == "swag" and not config.swag.diag_only
        part["swag"] = {name: whole["swag"][name] for name in ("epochs", "start", "lr", "collect")}
        part["rank"] = config.swag.rank if low_rank else 0
    else:
        part["epochs"] = config.epochs
    if config.uses_dropout:
        part["dropout"] = whole["dropout"]
    return part


class ReplayedRun:
    """A run whose training is loaded from the cache if it is stored there, and stored there if it is not.

    It wraps the run and has the same interface (`run.TrainingRun`).

    Args:
        run: of a method that draws its members after the training (`rules.POST_HOC`).
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.stored: State | None = None
        self.epochs = 0  # finished
        self.history: list[Tensor] = []  # validation log-probabilities after each epoch, if it was trained here

    @property
    def index(self) -> int:
        return self.run.index

    @property
    def plan(self) -> Plan:
        return self.run.plan

    @property
    def seconds(self) -> float:
        return self.run.seconds

    @property
    def file(self) -> Path:
        """The file in which this training is stored."""
        run = self.run
        seed = run.ctx.seed if run.config.training_seed is None else run.config.training_seed
        facts = {
            "schema": SCHEMA,
            "torch": torch.__version__,
            "device": run.ctx.device.type,
            "images": run.data.train.digest(),
            "seed": seed,
            "shared_seed": run.config.training_seed is not None,
            "run": run.index,
            "config": training_part(run.config),
        }
        digest = hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()
        return members_folder() / f"{digest[:32]}.pt"

    def advance(self, step: int) -> list[Predictions]:
        """Do step number `step` of the plan; return the members that it completed: none before the draws."""
        if step >= self.plan.epochs:
            return self.run.advance(step)
        began = WALL.elapsed()
        self._learn(step)
        self.run.seconds += WALL.elapsed() - began
        return []

    def _learn(self, epoch: int) -> None:
        last = self.plan.epochs - 1
        if epoch == 0:
            self.stored = self._load_file()
        if self.stored is None:
            self._train(epoch)
            if epoch == last:
                self._save_file()
        elif epoch == last:
            self._restore(self.stored)
        self.epochs = epoch + 1

    def _train(self, epoch: int) -> None:
        self.run.train_epoch(epoch)
        self.history.append(self.run.log_probabilities(self.run.model, self.run.data.scored["val"].images))

    def _restore(self, stored: State) -> None:
        """Bring the run into the state in which its training would end."""
        self.run.model.load_state_dict(stored["model"])
        if self.run.config.method in COLLECTING:
            self.run.load_extra(stored["extra"])

    def current(self, split: str) -> Tensor:
        """Log-probabilities after the last finished epoch, (n, classes); stored ones are of the validation images."""
        if self.stored is None:
            return self.run.current(split)
        known: Tensor = self.stored["history"][self.epochs - 1]
        return known

    def _save_file(self) -> None:
        """Store the finished training; other processes see the whole file or none.

        Raises:
            StoreError: the folder cannot be written.
        """
        whole = self.run.state()
        extra = whole["extra"] if self.run.config.method in COLLECTING else {}
        content = {"model": whole["model"], "extra": extra, "history": self.history}
        target = self.file
        partial = target.with_name(f".{target.name}.{os.getpid()}.part")
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            torch.save(content, partial)
            partial.replace(target)
        except OSError as error:
            with contextlib.suppress(OSError):
                partial.unlink()
            reason = error.strerror or error
            raise StoreError(
                f"{target.parent} cannot store a trained network: {reason}; set RAYBAYES_CACHE to another folder, or"
                " reuse_pretrained = false."
            ) from None

    def _load_file(self) -> State | None:
        """The stored training, or None; an unreadable file is trained again and replaced."""
        try:
            content: State = torch.load(self.file, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            return None
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            self.run.ctx.log.warning("%s cannot be read, so its training is repeated: %s", self.file, error)
            return None
        self.run.ctx.log.info("run %d reuses the training stored in %s", self.run.index, self.file)
        return content

    def state(self) -> State:
        """The run's state, how far its training is, and the predictions on the way."""
        replayed = self.stored is not None
        history = [] if replayed else copied(self.history)
        return {**self.run.state(), "replay": {"epochs": self.epochs, "replayed": replayed, "history": history}}

    def load(self, state: State) -> None:
        """The inverse of `state`. A stored training that was deleted meanwhile is repeated up to there."""
        self.run.load(state)
        own = state["replay"]
        self.epochs, self.history = own["epochs"], list(own["history"])
        if not own["replayed"] or self.epochs >= self.plan.epochs:
            return
        self.stored = self._load_file()
        for epoch in range(self.epochs if self.stored is None else 0):
            self._train(epoch)
