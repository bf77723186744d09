"""Large networks: all workers train one member together, each on its part of every batch."""

import contextlib
import hashlib
import logging

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from raybayes import data as raybayes_data
from raybayes.contract import Action, Stop
from raybayes.engine.worker.process_group import SingleProcessGroup, TorchProcessGroup
from raybayes.errors import DataError
from trainables.ensembles import Config, train

VALUES = {
    "train_images": 70, "test_images": 20, "epochs": 2, "members": 2, "batch": 16, "share": "images",
    "validation": 0.3, "spread": 2.0,
}  # fmt: skip


class Worker:
    """One of the workers of a run: a context that keeps its state in a file and stops at a given report."""

    def __init__(self, group, folder, stop_at):
        self.rank, self.world_size, self.device = group.rank, group.size, torch.device("cpu")
        self.group, self.folder, self.stop_at, self.seed = group, folder, stop_at, 0
        self.log = logging.getLogger("raybayes.test")
        self.reports, self.tables, self.step = [], {}, 0

    def rng(self, name):
        return torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(name.encode()).digest()[:7], "big"))

    def data(self, name):
        return raybayes_data.load(name)

    def gather(self, value):
        return self.group.gather(value)

    def wrap(self, model):
        return self.group.wrap(model)

    def resume(self):
        files = sorted(self.folder.glob("state-*.pt"))
        return {key: value for file in files for key, value in torch.load(file).items()} or None

    def report(self, metrics, state=None):
        self.reports.append(dict(metrics))
        self.step += 1
        if self.step == self.stop_at:
            torch.save(state(), self.folder / f"state-{self.rank}.pt")
            raise Stop(Action.PAUSE)

    def save_table(self, name, table):
        self.tables[name] = table


def _work(rank, size, folder, stop_at):
    torch.set_num_threads(1)
    if size > 1:
        dist.init_process_group("gloo", init_method=f"file://{folder}/meet-{stop_at}", rank=rank, world_size=size)
        group = TorchProcessGroup(torch.device("cpu"))
    else:
        group = SingleProcessGroup()
    worker = Worker(group, folder, stop_at)
    with contextlib.suppress(Stop):
        train(Config.model_validate(VALUES), worker)
    torch.save({"reports": worker.reports, "tables": sorted(worker.tables)}, folder / f"out-{stop_at}-{rank}.pt")
    if size > 1:
        dist.destroy_process_group()


def _two_workers(rank, folder):
    for stop_at in (3, None):  # interrupted within the second member, then to its end
        _work(rank, 2, folder, stop_at)


def test_two_workers_train_the_members_that_one_worker_trains(tmp_path):
    alone, together = tmp_path / "alone", tmp_path / "together"
    alone.mkdir()
    together.mkdir()
    _work(0, 1, alone, None)
    mp.spawn(_two_workers, (together,), nprocs=2)
    wanted = torch.load(alone / "out-None-0.pt")
    parts = [torch.load(together / f"out-{stop}-0.pt") for stop in ("3", "None")]
    found = [report for part in parts for report in part["reports"]]
    assert len(found) == len(wanted["reports"]) == 4
    for one, other in zip(found, wanted["reports"], strict=True):
        assert one == pytest.approx(other, rel=1e-3, abs=1e-4)
    stored = [name for part in parts for name in part["tables"]]
    assert sorted(stored) == wanted["tables"], "members are stored once, by the first worker"
    assert torch.load(together / "out-None-1.pt")["tables"] == []
    other_state = torch.load(together / "state-1.pt")
    assert other_state == {}, "the first worker has the whole state"


def test_a_batch_that_cannot_be_shared_is_refused(run_in_memory):
    with pytest.raises(DataError, match="share = images: a batch of 2 for 2 workers is fewer than 2 images each"):
        run_in_memory(train, Config.model_validate(VALUES | {"batch": 3}), workers=2)
