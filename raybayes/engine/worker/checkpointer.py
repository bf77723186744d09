"""Writes a worker's checkpoints, most of them beside the training: only the copy of the state is made in its time.

The state goes into a file of this machine (without a name, so that a process that is killed leaves none behind), and a
thread carries it to the storage. There is one on its way at most; it is a checkpoint once the files of all ranks are
there and it is published, like one that was waited for.
"""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, TYPE_CHECKING, TypeVar

from raybayes.clock import Clock
from raybayes.contract import State
from raybayes.engine.messages import Controller, TrialRun
from raybayes.errors import StoreError
from raybayes.store.checkpointing import checkpoints
from raybayes.store.checkpointing.checkpoints import FileRecord
from raybayes.store.layout import Layout

if TYPE_CHECKING:
    from raybayes.engine.worker.context import ProcessGroup

Written = TypeVar("Written")
COST = 0.03  # most of a trial's time that may go into checkpoints: where they take long, they come less often


class _AbandonedError(Exception):
    """The trial has ended, and nobody needs its checkpoint any more."""


class AsyncCheckpointer:
    """The checkpoints of one job. What is said to be for every rank must be called on all of them, in the same order.

    Args:
        log: told of checkpoints that the storage has refused.
    """

    def __init__(
        self, job: TrialRun, controller: Controller, group: ProcessGroup, clock: Clock, log: logging.Logger
    ) -> None:
        self._job, self._controller, self._group, self._clock, self._log = job, controller, group, clock, log
        self._layout = Layout(job.storage)
        self._spacing_s = job.checkpoint_every
        self._saved_at = clock.elapsed()
        self._thread: ThreadPoolExecutor | None = None
        self._upload: tuple[int, Future[FileRecord | None]] | None = None  # the step, and this rank's file
        self._publication: Future[None] | None = None  # of rank 0
        self._abandoned = False

    @property
    def due(self) -> bool:
        """Whether it is time for a checkpoint, and the one before is through. Rank 0 decides it for all."""
        busy = self._upload is not None or not (self._publication is None or self._publication.done())
        return not busy and self._clock.elapsed() - self._saved_at >= self._spacing_s

    def save(self, step: int, content: State, wait: bool) -> None:
        """Store a state; with `wait` it is there when this returns. For every rank.

        Raises:
            StoreError: something in the state cannot be stored. A storage that refuses costs this checkpoint, and not
                the trial.
        """
        began = self._clock.elapsed()
        self.settle()
        if wait or not self._job.checkpoint_every:  # 0 asks for one at every report, whatever it costs
            self._publish(step, self._group.gather(self._stored(step, lambda: self._write(step, content))))
        else:
            staged = tempfile.TemporaryFile()  # noqa: SIM115 - the thread closes it
            record = self._stored(step, lambda: self._stage(staged, step, content))
            self._upload = step, self._beside(lambda: self._carry(staged, step, record))
        self._saved_at = self._clock.elapsed()
        if self._job.checkpoint_every:
            self._spacing_s = max(self._job.checkpoint_every, (self._saved_at - began) / COST)

    def poll(self) -> None:
        """Publish what has been uploaded meanwhile. For every rank."""
        if self._upload is not None:
            step, future = self._upload
            ready = self._group.gather((future.done(), future.result() if future.done() else None))
            if all(done for done, _ in ready):
                self._upload = None
                records = [record for _, record in ready]
                if self._group.rank == 0 and self._group.size > 1:
                    self._publication = self._beside(lambda: self._publish(step, records))

    def settle(self) -> None:
        """Wait for the checkpoint that is on its way. For every rank."""
        if self._upload is not None:
            self._upload[1].result()
            self.poll()
        if self._publication is not None:
            self._publication.result()
            self._publication = None

    def close(self) -> None:
        """The trial has ended: what is still on its way is not needed. Each rank by itself."""
        self._abandoned = True
        if self._thread is not None:
            self._thread.shutdown(wait=True)

    def _beside(self, work: Callable[[], Written]) -> Future[Written]:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="raybayes-checkpoint")
        return self._thread.submit(work)

    def _write(self, step: int, content: State) -> FileRecord:
        return checkpoints.save_rank(self._layout, *self._job.key, step, self._group.rank, content)

    def _stage(self, staged: IO[bytes], step: int, content: State) -> FileRecord:
        return checkpoints.stage_rank(staged, self._job.key[0], step, self._group.rank, content)

    def _carry(self, staged: IO[bytes], step: int, record: FileRecord | None) -> FileRecord | None:
        """This rank's file, in the thread; a worker that is alone publishes it at once."""
        with staged:
            if record is None:
                return None
            try:
                if not self._stored(step, lambda: self._uploaded(staged, step, record)):
                    return None
                if self._group.size == 1:
                    self._goes_on()
                    self._publish(step, [record])
            except _AbandonedError:
                checkpoints.forget(self._layout, *self._job.key, step)
                return None
        return record

    def _uploaded(self, staged: IO[bytes], step: int, record: FileRecord) -> bool:
        checkpoints.upload_rank(self._layout, *self._job.key, step, record.name, staged, self._goes_on)
        return True

    def _goes_on(self) -> None:
        if self._abandoned:
            raise _AbandonedError

    def _publish(self, step: int, records: list[FileRecord | None]) -> None:
        whole = [record for record in records if record is not None]
        if self._group.rank != 0 or len(whole) < len(records):
            return
        self._controller.saving(self._job.key, step)
        self._stored(step, lambda: self._put(step, whole))

    def _put(self, step: int, records: list[FileRecord]) -> None:
        place = (self._layout, *self._job.key)
        checkpoints.publish(*place, step, records, self._group.size)
        # The one before stays too, for the case that this one is damaged.
        for older in [other for other in checkpoints.steps(*place) if other < step][:-1]:
            checkpoints.delete(*place, older)

    def _stored(self, step: int, write: Callable[[], Written]) -> Written | None:
        try:
            return write()
        except StoreError as error:
            if error.__cause__ is None:  # the state itself is what cannot be stored
                raise
            self._log.warning("step %d: no checkpoint was written: %s", step, error)
            return None
