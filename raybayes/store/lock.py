"""The lock of a sweep: a file that says which burst works on it, and that changes as long as that is alive.

It uses no fcntl locks, which NFS may not support: a process takes the lock by creating the file, which only one can.
Whether a holder on another machine is alive is never read from a clock, because two machines' clocks differ: who wants
the lock watches the file, and takes it if it has not changed for a lease by the watcher's own clock.
"""

from __future__ import annotations

import errno
import logging
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from raybayes.clock import WALL, Clock
from raybayes.errors import StoreError
from raybayes.store.holder import Holder, myself, parse_holder, runs, to_json, unknown_holder
from raybayes.store.layout import Layout

HEARTBEAT_S = 10.0  # minimum time between two heartbeats
LEASE_S = 60.0  # a holder on another machine counts as dead if its lock has not changed while somebody watched so long
_POLL_S, _WATCH_S = 0.2, 1.0  # between two looks at a lock of this machine, and at one of another
_LOG = logging.getLogger("raybayes.store")


@dataclass(frozen=True)
class _Watched:
    """A lock that somebody watches: its content, since when it has had that, and whether it had another one before."""

    data: bytes
    since: float
    changed: bool


class BurstLock:
    """The right to write to a sweep.

    Example:
        >>> with BurstLock(layout) as lock:                                             # doctest: +SKIP
        ...     lock.refresh()

    Not all object stores have an atomic "create if absent", so there it is best effort: of two bursts that start within
    a second, the later one wins, and the other notices at its next `refresh`.
    """

    def __init__(self, layout: Layout, clock: Clock = WALL, sleep: Callable[[float], None] = time.sleep) -> None:
        self._layout = layout
        self._storage = layout.storage
        self._clock, self._sleep = clock, sleep
        self._mine: Holder | None = None
        self._beaten = 0.0  # when this holder last wrote its heartbeat, by its own elapsed time
        self._seen: dict[str, _Watched] = {}

    def acquire(self, wait_s: float = 0.0) -> None:
        """Take the lock, also from a dead holder; one on another machine is watched for `LEASE_S` first.

        Args:
            wait_s: seconds to wait for a living holder to release it.

        Raises:
            StoreError: another burst holds it; the message names its host and process, and how to free it.
        """
        began, said = self._clock.elapsed(), False
        while True:
            holder = self._try()
            if holder is None:
                return
            if self._clock.elapsed() - began >= wait_s and self._judged(self._layout.lock):
                raise StoreError(self._in_use(holder))
            if not said and not self._judged(self._layout.lock):
                said = True
                _LOG.warning(
                    "%s: %s, process %d held the lock; waiting up to %.0f s to see whether it is alive.",
                    self._storage.display, holder.host, holder.pid, LEASE_S,
                )  # fmt: skip
            self._sleep(_WATCH_S if self._layout.lock in self._seen else _POLL_S)

    def _judged(self, path: str) -> bool:
        """Whether it is known that the holder is alive: a process of this machine, or its lock has changed."""
        watched = self._seen.get(path)
        return watched is None or watched.changed

    def refresh(self) -> None:
        """Renew the heartbeat. Call it often; it writes at most every 20 s.

        Raises:
            StoreError: another burst took the lock, because this machine did not run for minutes.
        """
        mine = self._held()
        silent = self._clock.elapsed() - self._beaten
        if silent < HEARTBEAT_S:
            return
        found = parse_holder(self._read(self._layout.lock))
        if found is None or found.token != mine.token:
            self._mine = None
            if found is None:
                raise StoreError(
                    f"{self._storage.display_path(self._layout.lock)}: the lock of this burst was deleted, so it "
                    "stops; resume the sweep."
                )
            raise StoreError(
                f"{self._storage.display}: this burst lost its lock to {found.host}, process {found.pid} after "
                f"{silent:.0f} s without a heartbeat, so it stops; resume the sweep when the other burst "
                "has ended."
            )
        self._mine = replace(mine, heartbeat=self._clock.now(), beats=mine.beats + 1)
        self._storage.write_bytes(self._layout.lock, to_json(self._mine))
        self._beaten = self._clock.elapsed()

    def release(self) -> None:
        """Release the lock; does nothing if this burst does not hold it."""
        if self._mine is None:
            return
        found = parse_holder(self._read(self._layout.lock))
        if found is not None and found.token == self._mine.token:
            self._storage.delete(self._layout.lock)
        self._mine = None

    def read_holder(self) -> Holder | None:
        """The holder, dead or alive; None if the lock is free."""
        return parse_holder(self._read(self._layout.lock))

    def find_living(self) -> Holder | None:
        """The holder, unless it is known to be dead; one on another machine is, if this lock has watched it long."""
        data = self._read(self._layout.lock)
        return parse_holder(data) if data is not None and self._alive(data, self._layout.lock) else None

    def silence(self, holder: Holder) -> float:
        """Seconds since the holder last said that it was alive; of one on another machine, as far as it was watched."""
        watched = self._seen.get(self._layout.lock)
        if watched is not None:
            return self._clock.elapsed() - watched.since
        return max(0.0, self._clock.now() - holder.heartbeat)

    def require_free(self) -> None:
        """StoreError with the holder if a living burst holds the lock; watches one on another machine first."""
        while (holder := self.find_living()) is not None:
            if self._judged(self._layout.lock):
                raise StoreError(self._in_use(holder))
            self._sleep(_WATCH_S)

    def __enter__(self) -> BurstLock:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _held(self) -> Holder:
        if self._mine is None:
            raise StoreError(
                f"{self._storage.display}: this burst does not hold the lock; acquire it before refreshing it."
            )
        return self._mine

    def _try(self) -> Holder | None:
        """One attempt to take the lock: None if it succeeded, else the holder."""
        if self._mine is not None:
            return None
        mine = myself(self._clock.now())
        if self._create(self._layout.lock, mine):
            self._mine, self._beaten = mine, self._clock.elapsed()
            return None
        data = self._read(self._layout.lock)
        if data is None:  # released meanwhile
            return self._try()
        if self._alive(data, self._layout.lock):
            return parse_holder(data) or unknown_holder(self._clock.now())
        return self._take_over(data, mine)

    def _take_over(self, dead: bytes, mine: Holder) -> Holder | None:
        """Replace a dead holder's lock; of several processes that try, the one that creates the claim succeeds."""
        claim = f"{self._layout.lock}.claim"
        if not self._create(claim, mine):
            claimant = self._read(claim)
            if claimant is not None:
                if self._alive(claimant, claim):
                    return parse_holder(claimant) or unknown_holder(self._clock.now())
                self._storage.delete(claim)
            return self._try()
        try:
            if self._read(self._layout.lock) == dead:  # else another process took it before our claim
                self._storage.write_bytes(self._layout.lock, to_json(mine))
                self._mine, self._beaten = mine, self._clock.elapsed()
        finally:
            self._storage.delete(claim)
        return self._try()

    def _create(self, path: str, mine: Holder) -> bool:
        """Create a file; False if it exists."""
        if not self._storage.local:
            if self._storage.exists(path):
                return False
            self._storage.write_bytes(path, to_json(mine))
            return True
        draft = f"{path}.{mine.token}"
        self._storage.write_bytes(draft, to_json(mine))
        try:
            return _link(self._storage.local_path(draft), self._storage.local_path(path), to_json(mine))
        except OSError as error:
            raise StoreError(
                f"{self._storage.display_path(path)}: the lock cannot be created ({error.strerror}); check the storage."
            ) from error
        finally:
            self._storage.delete(draft)

    def _alive(self, data: bytes, path: str) -> bool:
        holder, me = parse_holder(data), myself(self._clock.now())
        if holder is not None and (holder.host, holder.pids) == (me.host, me.pids):
            self._seen.pop(path, None)
            return runs(holder)
        return self._changes(data, path)  # elsewhere; or incomplete after a crash, or being written now

    def _changes(self, data: bytes, path: str) -> bool:
        """Whether a file has changed within a lease by this process's own clock, as far as it has watched."""
        now, watched = self._clock.elapsed(), self._seen.get(path)
        if watched is None or watched.data != data:
            self._seen[path] = _Watched(data, now, changed=watched is not None)
            return True
        return now - watched.since <= LEASE_S

    def _read(self, path: str) -> bytes | None:
        try:
            return self._storage.read_bytes(path)
        except StoreError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise

    def _in_use(self, holder: Holder) -> str:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(holder.started))
        here = holder.host == socket.gethostname()
        stop = f"kill {holder.pid}" if here else f"ssh {holder.host} kill {holder.pid}"
        user = f" of {holder.user}" if holder.user else ""
        return (
            f"{self._storage.display}: another burst works on this sweep: {holder.host}, process {holder.pid}{user}, "
            f"since {since} by the clock there; wait for it, or stop it: {stop} (it stores everything first)."
        )


def _link(draft: Path, path: Path, text: bytes) -> bool:
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS):
            if draft.stat().st_nlink == 2:  # NFS may report a failure although it made the link
                return True
            raise
        return _create_exclusively(path, text)  # a file system without hard links
    return True


def _create_exclusively(path: Path, text: bytes) -> bool:
    try:
        with open(path, "xb") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        return False
    return True
