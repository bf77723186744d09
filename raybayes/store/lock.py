"""The lock of a sweep: a file that says which burst works on it, and when that was last alive.

It uses no fcntl locks, which NFS may not support: a process takes the lock by creating the file, which only one can.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import time
import uuid
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from raybayes.clock import WALL, Clock
from raybayes.errors import StoreError
from raybayes.store.layout import Layout

HEARTBEAT_S = 20.0  # minimum time between two heartbeats
STALE_S = 120.0  # a holder on another machine counts as dead after this time without a heartbeat
_POLL_S = 0.2


@dataclass(frozen=True)
class Holder:
    """The holder of a lock.

    Args:
        host: name of its machine.
        pids: the namespace of its `pid`; containers on one machine may have their own.
        pid: id of its process.
        born: when the process started (Unix epoch), because process ids are reused.
        started: when it took the lock (Unix epoch).
        heartbeat: when it last said that it was alive (Unix epoch).
        token: unique to this holder.
    """

    host: str
    pids: str
    pid: int
    born: float
    started: float
    heartbeat: float
    token: str


class BurstLock:
    """The right to write to a sweep.

    Example:
        >>> with BurstLock(layout) as lock:                                             # doctest: +SKIP
        ...     lock.refresh()

    Not all object stores have an atomic "create if absent", so there it is best effort: of two bursts that start within
    a second, the later one wins, and the other notices at its next `refresh`.
    """

    def __init__(self, layout: Layout, clock: Clock = WALL) -> None:
        self._layout = layout
        self._storage = layout.storage
        self._clock = clock
        self._mine: Holder | None = None

    def acquire(self, wait_s: float = 0.0) -> None:
        """Take the lock, also from a dead holder.

        Args:
            wait_s: seconds to wait for a living holder to release it.

        Raises:
            StoreError: another burst holds it; the message names its host, process and age.
        """
        deadline = time.monotonic() + wait_s
        while True:
            holder = self._try()
            if holder is None:
                return
            if time.monotonic() >= deadline:
                raise StoreError(self._in_use(holder))
            time.sleep(min(_POLL_S, max(0.0, deadline - time.monotonic())))

    def refresh(self) -> None:
        """Renew the heartbeat. Call it often; it writes at most every 20 s.

        Raises:
            StoreError: another burst took the lock, because this machine did not run for minutes.
        """
        mine = self._held()
        now = self._clock.now()
        if now - mine.heartbeat < HEARTBEAT_S:
            return
        found = _parse(self._read(self._layout.lock))
        if found is None or found.token != mine.token:
            self._mine = None
            if found is None:
                raise StoreError(
                    f"{self._storage.display_path(self._layout.lock)}: the lock of this burst was deleted, so it "
                    "stops; resume the sweep."
                )
            raise StoreError(
                f"{self._storage.display}: this burst lost its lock to {found.host}, process {found.pid} after "
                f"{now - mine.heartbeat:.0f} s without a heartbeat, so it stops; resume the sweep when the other burst "
                "has ended."
            )
        self._mine = Holder(**{**asdict(mine), "heartbeat": now})
        self._storage.write_bytes(self._layout.lock, _text(self._mine))

    def release(self) -> None:
        """Release the lock; does nothing if this burst does not hold it."""
        if self._mine is None:
            return
        found = _parse(self._read(self._layout.lock))
        if found is not None and found.token == self._mine.token:
            self._storage.delete(self._layout.lock)
        self._mine = None

    def read_holder(self) -> Holder | None:
        """The holder, dead or alive; None if the lock is free."""
        return _parse(self._read(self._layout.lock))

    def find_living(self) -> Holder | None:
        """The holder, if it is alive as far as this machine can tell; None otherwise."""
        data = self._read(self._layout.lock)
        return _parse(data) if data is not None and self._alive(data, self._layout.lock) else None

    def require_free(self) -> None:
        """StoreError with the holder if a living burst holds the lock."""
        if (holder := self.find_living()) is not None:
            raise StoreError(self._in_use(holder))

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
        mine = _myself(self._clock.now())
        if self._create(self._layout.lock, mine):
            self._mine = mine
            return None
        data = self._read(self._layout.lock)
        if data is None:  # released meanwhile
            return self._try()
        if self._alive(data, self._layout.lock):
            return _parse(data) or _unknown(self._clock.now())
        return self._take_over(data, mine)

    def _take_over(self, dead: bytes, mine: Holder) -> Holder | None:
        """Replace a dead holder's lock; of several processes that try, the one that creates the claim succeeds."""
        claim = f"{self._layout.lock}.claim"
        if not self._create(claim, mine):
            claimant = self._read(claim)
            if claimant is not None:
                if self._alive(claimant, claim):
                    return _parse(claimant) or _unknown(self._clock.now())
                self._storage.delete(claim)
            return self._try()
        try:
            if self._read(self._layout.lock) == dead:  # else another process took it before our claim
                self._storage.write_bytes(self._layout.lock, _text(mine))
                self._mine = mine
        finally:
            self._storage.delete(claim)
        return self._try()

    def _create(self, path: str, mine: Holder) -> bool:
        """Create a file; False if it exists."""
        if not self._storage.local:
            if self._storage.exists(path):
                return False
            self._storage.write_bytes(path, _text(mine))
            return True
        draft = f"{path}.{mine.token}"
        self._storage.write_bytes(draft, _text(mine))
        try:
            return _link(self._storage.local_path(draft), self._storage.local_path(path), _text(mine))
        except OSError as error:
            raise StoreError(
                f"{self._storage.display_path(path)}: the lock cannot be created ({error.strerror}); check the storage."
            ) from error
        finally:
            self._storage.delete(draft)

    def _alive(self, data: bytes, path: str) -> bool:
        holder = _parse(data)
        if holder is None:  # incomplete after a crash, or being written now
            with contextlib.suppress(OSError, StoreError):
                changed = self._storage.local_path(path).stat().st_mtime
                return self._clock.now() - changed <= STALE_S
            return False
        me = _myself(self._clock.now())
        if (holder.host, holder.pids) == (me.host, me.pids):
            return _runs(holder)
        return self._clock.now() - holder.heartbeat <= STALE_S

    def _read(self, path: str) -> bytes | None:
        try:
            return self._storage.read_bytes(path)
        except StoreError as error:
            if isinstance(error.__cause__, FileNotFoundError):
                return None
            raise

    def _in_use(self, holder: Holder) -> str:
        now = self._clock.now()
        return (
            f"{self._storage.display}: another burst works on this sweep: {holder.host}, process {holder.pid}, for "
            f"{now - holder.started:.0f} s, last heartbeat {now - holder.heartbeat:.0f} s ago; wait for it or stop it "
            f"(a dead one on another machine loses the lock {STALE_S:.0f} s after its last heartbeat)."
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


def _myself(now: float) -> Holder:
    return Holder(
        socket.gethostname(), _process_space(), os.getpid(), psutil.Process().create_time(), now, now, uuid.uuid4().hex
    )


def _process_space() -> str:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip() + " " + os.readlink("/proc/self/ns/pid")
    except OSError:  # not Linux
        return ""


def _runs(holder: Holder) -> bool:
    try:
        process = psutil.Process(holder.pid)
        return bool(abs(process.create_time() - holder.born) < 2.0 and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _text(holder: Holder) -> bytes:
    return json.dumps(asdict(holder), indent=1).encode()


def _parse(data: bytes | None) -> Holder | None:
    try:
        return Holder(**json.loads(data or b""))
    except (ValueError, TypeError):
        return None


def _unknown(now: float) -> Holder:
    return Holder("an unknown machine", "", 0, now, now, now, "")
