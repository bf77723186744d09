"""A context in this process: it records reports, stops at a given report, and can run several ranks in threads."""

from __future__ import annotations

import hashlib
import io
import logging
import threading
from types import SimpleNamespace

import pyarrow as pa
import pytest
import torch

from raybayes import data as raybayes_data
from raybayes.contract import Action, Stop


class Ranks:
    """What the ranks of one run share."""

    def __init__(self, size: int, saved: bytes | None) -> None:
        self.size, self.saved = size, saved
        self.barrier = threading.Barrier(size)
        self.slots: list = [None] * size
        self.states: list = [None] * size
        self.tables: dict[str, pa.Table] = {}

    def gather(self, rank: int, value):
        buffer = io.BytesIO()
        torch.save(value, buffer)  # as on a network: no rank sees another one's objects
        self.slots[rank] = buffer.getvalue()
        self.barrier.wait(60)
        values = [torch.load(io.BytesIO(slot), weights_only=False) for slot in self.slots]
        self.barrier.wait(60)
        return values


class MemoryContext:
    """One rank. `stop_at` counts reports of the whole run, those before a resumption included."""

    def __init__(self, ranks: Ranks, rank: int, seed: int, stop_at: int | None) -> None:
        self.ranks, self.rank, self.seed, self.stop_at = ranks, rank, seed, stop_at
        self.world_size, self.device = ranks.size, torch.device("cpu")
        self.log = logging.getLogger("raybayes.test")
        self.reports: list[dict[str, float]] = []
        self.step = 0

    def rng(self, name: str) -> torch.Generator:
        digest = hashlib.sha256(f"{self.seed}/{name}".encode()).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)

    def data(self, name: str):
        return raybayes_data.load(name)

    def gather(self, value):
        return self.ranks.gather(self.rank, value)

    def resume(self):
        if self.ranks.saved is None:
            return None
        content = torch.load(io.BytesIO(self.ranks.saved), weights_only=True)
        self.step = content["step"]
        return {key: value for state in content["states"] for key, value in state.items()}

    def report(self, metrics, state=None) -> None:
        self.step += 1
        self.reports.append(dict(metrics))
        if self.step == self.stop_at:
            self.ranks.states[self.rank] = {"step": self.step, "state": state()}
            raise Stop(Action.PAUSE)

    def save_table(self, name: str, table: pa.Table) -> None:
        self.ranks.tables[name] = table


def perform(train, config, *, seed=0, workers=1, stop_at=None, saved=None):
    """Run a training function on threads as ranks.

    Returns:
        reports of rank 0 and of every rank, tables by name, and `saved`: the checkpoint where it was stopped.
    """
    ranks = Ranks(workers, saved)
    contexts = [MemoryContext(ranks, rank, seed, stop_at) for rank in range(workers)]
    errors: list[BaseException] = []

    def work(ctx: MemoryContext) -> None:
        try:
            train(config, ctx)
        except Stop:
            pass
        except BaseException as error:
            errors.append(error)
            ranks.barrier.abort()

    threads = [threading.Thread(target=work, args=(ctx,)) for ctx in contexts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
    return outcome(ranks, contexts)


def perform_together(train, configs, *, seeds, stops, saved):
    """The same for a function that trains several runs of one worker each: a list of what `perform` returns."""
    ranks = [Ranks(1, checkpoint) for checkpoint in saved]
    contexts = [MemoryContext(*its, stop) for *its, stop in zip(ranks, [0] * len(ranks), seeds, stops, strict=True)]
    train(configs, contexts)
    return [outcome(one, [ctx]) for one, ctx in zip(ranks, contexts, strict=True)]


def outcome(ranks, contexts):
    checkpoint = None
    if ranks.states[0] is not None:
        buffer = io.BytesIO()
        torch.save({"step": contexts[0].step, "states": [entry["state"] for entry in ranks.states]}, buffer)
        checkpoint = buffer.getvalue()
    every = [ctx.reports for ctx in contexts]
    return SimpleNamespace(reports=every[0], every=every, tables=ranks.tables, saved=checkpoint)


@pytest.fixture(scope="session")
def run_in_memory():
    return perform


@pytest.fixture(scope="session")
def together_in_memory():
    return perform_together


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
