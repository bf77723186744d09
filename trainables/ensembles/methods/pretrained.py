"""Networks that were trained once and are used again by trials which differ only in what comes after the training.

The scale of SWAG and the prior of a Laplace approximation change nothing in the training, so a search over them need
not repeat it. A trained network lies in `$RAYBAYES_CACHE/members`, else in `$XDG_CACHE_HOME/raybayes/members` (or the
same below `~/.cache`), under a digest of all that the training depends on. With the network the validation predictions
after each epoch are kept, so that a trial which takes it up makes the same reports as one that trains.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import pickle
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from raybayes.contract import State
from raybayes.errors import StoreError

if TYPE_CHECKING:
    from trainables.ensembles.config.values import Config
    from trainables.ensembles.methods.run import Run

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


def folder() -> Path:
    """Where trained networks are kept."""
    if named := os.environ.get("RAYBAYES_CACHE"):
        return Path(named).expanduser() / "members"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "raybayes" / "members"


def training_part(config: Config) -> dict[str, Any]:
    """The values that the training of one run depends on, of the methods that draw their members after it."""
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


class Replay:
    """The training of one run, from the cache if it is there, into the cache if it is not.

    Args:
        run: whose training it is.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.stored: State | None = None
        self.epochs = 0  # done
        self.history: list[Tensor] = []  # validation log-probabilities after each epoch, as it was trained here

    @property
    def file(self) -> Path:
        """Where this training is kept."""
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
        return folder() / f"{digest[:32]}.pt"

    def learn(self, epoch: int) -> None:
        """Do one epoch of the training."""
        last = self.run.plan.epochs - 1
        if epoch == 0:
            self.stored = self.load_file()
        if self.stored is None:
            self.run.train_epoch(epoch)
            self.history.append(self.run.log_probabilities(self.run.model, self.run.data.scored["val"].images))
            if epoch == last:
                self.save_file()
        elif epoch == last:
            self.take_up(self.stored)
        self.epochs = epoch + 1

    def current(self) -> Tensor | None:
        """Validation log-probabilities after the last epoch, if the network of that epoch is not here."""
        return None if self.stored is None else self.stored["history"][self.epochs - 1]

    def take_up(self, stored: State) -> None:
        """Make the run what it would be after its training."""
        self.run.model.load_state_dict(stored["model"])
        if self.run.config.method in COLLECTING:
            self.run.load_extra(stored["extra"])

    def save_file(self) -> None:
        """Keep the training that has just ended; others see the whole file or none."""
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
                f"{target.parent} cannot keep a trained network: {reason}; set RAYBAYES_CACHE to another folder, or"
                " reuse_pretrained = false."
            ) from None

    def load_file(self) -> State | None:
        """The stored training, or None; one that cannot be read is made anew."""
        try:
            content: State = torch.load(self.file, map_location="cpu", weights_only=True)
        except FileNotFoundError:
            return None
        except (OSError, RuntimeError, EOFError, pickle.UnpicklingError) as error:
            self.run.ctx.log.warning("%s cannot be read and is made anew: %s", self.file, error)
            return None
        self.run.ctx.log.info("run %d takes up the training of %s", self.run.index, self.file)
        return content

    def state(self) -> State:
        """How far the training is, and what was seen on the way."""
        replayed = self.stored is not None
        return {"epochs": self.epochs, "replayed": replayed, "history": [] if replayed else list(self.history)}

    def load(self, state: State) -> None:
        """The inverse of `state`. A stored training that has gone meanwhile is made again up to there."""
        self.epochs, self.history = state["epochs"], list(state["history"])
        if not state["replayed"] or self.epochs >= self.run.plan.epochs:
            return
        self.stored = self.load_file()
        for epoch in range(self.epochs if self.stored is None else 0):
            self.learn_again(epoch)

    def learn_again(self, epoch: int) -> None:
        """One epoch of a training whose stored form is gone."""
        self.run.train_epoch(epoch)
        self.history.append(self.run.log_probabilities(self.run.model, self.run.data.scored["val"].images))
