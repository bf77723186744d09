"""Writes a worker's checkpoints, most of them while it trains: only the copy of the state is made in its time.

The state goes into a file of this machine (without a name, so that a killed process leaves none behind), and a thread
uploads it to the storage. At most one is being uploaded; it is a checkpoint once the files of all ranks are there and
it is published, like one that was waited for.
"""

from __future__ import annotations

import contextlib
import logging
import tempfile
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO, TypeVar

from raybayes.clock import Clock
from raybayes.contract import State
from raybayes.engine.messages import Controller, TrialRun
from raybayes.engine.worker.process_group import ProcessGroup
from raybayes.errors import StoreError
from raybayes.store.checkpointing import checkpoints
from raybayes.store.checkpointing.manifests import FileRecord, is_foreign
from raybayes.store.layout import Layout

Written = TypeVar("Written")
COST = 0.03  # largest share of a trial's time that may go into checkpoints: slow ones are written less often


class _AbandonedError(Exception):
    """The trial has ended, and nobody needs its checkpoint any more."""


class AsyncCheckpointer:
    """The checkpoints of one run. A method "on every rank" must be called on all of them, in the same order.

    Args:
        log: gets a warning for each checkpoint that the storage did not take.
    """

    def __init__(
        self, run: TrialRun, controller: Controller, group: ProcessGroup, clock: Clock, log: logging.Logger
    ) -> None:
        self._run, self._controller, self._group, self._clock, self._log = run, controller, group, clock, log
        self._layout = Layout(run.storage)
        self._spacing_s = run.checkpoint_every
        self._saved_at = clock.elapsed()
        self._thread: ThreadPoolExecutor | None = None
        self._upload: tuple[int, Future[FileRecord | None]] | None = None  # the step, and this rank's file
        self._publication: Future[None] | None = None  # of rank 0
        self._abandoned = False

    @property
    def due(self) -> bool:
        """Whether it is time for a checkpoint and the one before is published. Rank 0 decides it for all."""
        busy = self._upload is not None or not (self._publication is None or self._publication.done())
        return not busy and self._clock.elapsed() - self._saved_at >= self._spacing_s

    def save(self, step: int, content: State, wait: bool) -> None:
        """Store a state, on every rank; with `wait` it is published when this returns.

        Raises:
            StoreError: something in the state cannot be stored. A storage that fails costs this checkpoint, not the
                trial.
        """
        began = self._clock.elapsed()
        self.settle()
        if wait or not self._run.checkpoint_every:  # 0 asks for one at every report, whatever it costs
            self._publish(step, self._group.gather(self._guarded(step, lambda: self._write(step, content))))
        else:
            staged = self._staging_file(step)
            record = self._guarded(step, lambda: self._stage(staged, step, content)) if staged is not None else None
            self._upload = step, self._in_thread(lambda: self._upload_staged(staged, step, record))
        self._saved_at = self._clock.elapsed()
        if self._run.checkpoint_every:
            self._spacing_s = max(self._run.checkpoint_every, (self._saved_at - began) / COST)

    def poll(self) -> None:
        """Publish what has been uploaded meanwhile, on every rank."""
        if self._upload is not None:
            step, future = self._upload
            ready = self._group.gather((future.done(), future.result() if future.done() else None))
            if all(done for done, _ in ready):
                self._upload = None
                records = [record for _, record in ready]
                if self._group.rank == 0 and self._group.size > 1:
                    self._publication = self._in_thread(lambda: self._publish(step, records))

    def settle(self) -> None:
        """Wait until the checkpoint that is being uploaded is published, on every rank."""
        if self._upload is not None:
            self._upload[1].result()
            self.poll()
        if self._publication is not None:
            self._publication.result()
            self._publication = None

    def close(self) -> None:
        """Abandon what is still being uploaded: the trial has ended. Each rank by itself."""
        self._abandoned = True
        if self._thread is not None:
            self._thread.shutdown(wait=True)

    def _in_thread(self, work: Callable[[], Written]) -> Future[Written]:
        if self._thread is None:
            self._thread = ThreadPoolExecutor(1, thread_name_prefix="raybayes-checkpoint")
        return self._thread.submit(work)

    def _write(self, step: int, content: State) -> FileRecord:
        return checkpoints.save_rank(self._layout, *self._run.key, step, self._group.rank, content)

    def _stage(self, staged: IO[bytes], step: int, content: State) -> FileRecord:
        return checkpoints.stage_rank(staged, self._run.key[0], step, self._group.rank, content)

    def _staging_file(self, step: int) -> IO[bytes] | None:
        """A file for a copy of the state, which the thread closes; None if the temporary folder has no room for one."""
        try:
            return tempfile.TemporaryFile()
        except OSError as error:
            self._log.warning("step %d: no checkpoint was written: %s: %s", step, tempfile.gettempdir(), error.strerror)
            return None

    def _upload_staged(self, staged: IO[bytes] | None, step: int, record: FileRecord | None) -> FileRecord | None:
        """Upload this rank's file, in the thread; a single worker publishes it at once."""
        if staged is None or record is None:
            with contextlib.suppress(OSError):  # what is still in the file's buffer has no room either
                if staged is not None:
                    staged.close()
            return None
        with staged:
            try:
                if not self._guarded(step, lambda: self._upload_file(staged, step, record)):
                    return None
                if self._group.size == 1:
                    self._require_wanted()
                    self._publish(step, [record])
            except _AbandonedError:
                checkpoints.discard_unpublished(self._layout, *self._run.key, step)
                return None
        return record

    def _upload_file(self, staged: IO[bytes], step: int, record: FileRecord) -> bool:
        checkpoints.upload_rank(self._layout, *self._run.key, step, record.name, staged, self._require_wanted)
        return True

    def _require_wanted(self) -> None:
        if self._abandoned:
            raise _AbandonedError

    def _publish(self, step: int, records: list[FileRecord | None]) -> None:
        whole = [record for record in records if record is not None]
        if self._group.rank != 0 or len(whole) < len(records):
            return
        self._controller.before_checkpoint(self._run.key, step)
        self._guarded(step, lambda: self._put_in_place(step, whole))

    def _put_in_place(self, step: int, records: list[FileRecord]) -> None:
        place = (self._layout, *self._run.key)
        checkpoints.publish(*place, step, records, self._group.size, owner=self._run.owner)
        steps = [other for other in checkpoints.list_steps(*place) if other < step]
        # The one before stays too, in case this one is damaged.
        for older in [other for other in steps if not is_foreign(*place, other, self._run.owner)][:-1]:
            checkpoints.delete(*place, older)

    def _guarded(self, step: int, write: Callable[[], Written]) -> Written | None:
        try:
            return write()
        except StoreError as error:
            if error.__cause__ is None:  # the state itself is what cannot be stored
                raise
            self._log.warning("step %d: no checkpoint was written: %s", step, error)
            return None
