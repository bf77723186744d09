"""One burst at a time works on a sweep: a file that says which process does, and when it was last alive.

No fcntl locks, which NFS may not have: a lock is taken by giving the file its name, which only one process can do.
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

HEARTBEAT_S = 20.0  # least time between two heartbeats
STALE_S = 120.0  # silence after which a holder on another machine counts as dead
_POLL_S = 0.2


@dataclass(frozen=True)
class Holder:
    """Who holds a lock.

    Args:
        host: the machine's name.
        pids: which processes its `pid` counts among; containers on one machine may count their own.
        pid: the process.
        born: when the process started (Unix epoch), because numbers of processes are used again.
        started: when it took the lock (Unix epoch).
        heartbeat: when it was last alive (Unix epoch).
        token: tells this holder from all others.
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

    On an object store, which has no atomic "create if absent" that all stores share, it is best effort: of two bursts
    that start within a second, the later one wins, and the other learns it at its next `refresh`.
    """

    def __init__(self, layout: Layout, clock: Clock = WALL) -> None:
        self._layout = layout
        self._storage = layout.storage
        self._clock = clock
        self._mine: Holder | None = None

    def acquire(self, wait_s: float = 0.0) -> None:
        """Take the lock, or that of a dead holder.

        Args:
            wait_s: seconds to wait for a living holder.

        Raises:
            StoreError: another burst works on the sweep; the message names its host, process and age.
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
        """Say that this burst is alive. Call it often; it writes at most every 20 s.

        Raises:
            StoreError: the lock is no longer ours: the machine slept for minutes, and another burst took over.
        """
        mine = self._held()
        now = self._clock.now()
        if now - mine.heartbeat < HEARTBEAT_S:
            return
        found = _parse(self._read(self._layout.lock))
        if found is None or found.token != mine.token:
            self._mine = None
            taker = "nobody" if found is None else f"{found.host}, process {found.pid}"
            raise StoreError(
                f"{self._storage.display}: this burst lost its lock to {taker} after {now - mine.heartbeat:.0f} s "
                "without a heartbeat; it must stop writing, and can be resumed when the other has ended."
            )
        self._mine = Holder(**{**asdict(mine), "heartbeat": now})
        self._storage.write_bytes(self._layout.lock, _text(self._mine))

    def release(self) -> None:
        """Give the lock back; nothing happens if it is not held, or no longer ours."""
        if self._mine is None:
            return
        found = _parse(self._read(self._layout.lock))
        if found is not None and found.token == self._mine.token:
            self._storage.delete(self._layout.lock)
        self._mine = None

    def holder(self) -> Holder | None:
        """Who holds the lock now, dead or alive; None if nobody."""
        return _parse(self._read(self._layout.lock))

    def living(self) -> Holder | None:
        """Who holds the lock now, if that burst is alive as far as one can see from here."""
        data = self._read(self._layout.lock)
        return _parse(data) if data is not None and self._alive(data, self._layout.lock) else None

    def refuse_living(self) -> None:
        """StoreError that names the holder, if a living burst holds the lock."""
        if (holder := self.living()) is not None:
            raise StoreError(self._in_use(holder))

    def __enter__(self) -> BurstLock:
        self.acquire()
        return self

    def __exit__(self, *_: object) -> None:
        self.release()

    def _held(self) -> Holder:
        if self._mine is None:
            raise StoreError(f"{self._storage.display}: the lock is not held; acquire it before it is refreshed.")
        return self._mine

    def _try(self) -> Holder | None:
        """One attempt: None if the lock is ours now, else who holds it."""
        if self._mine is not None:
            return None
        mine = _myself(self._clock.now())
        if self._create(self._layout.lock, mine):
            self._mine = mine
            return None
        data = self._read(self._layout.lock)
        if data is None:  # released while we looked
            return self._try()
        if self._alive(data, self._layout.lock):
            return _parse(data) or _unknown(self._clock.now())
        return self._take_over(data, mine)

    def _take_over(self, dead: bytes, mine: Holder) -> Holder | None:
        """Replace a dead holder's lock; of several that try, the one that creates the claim may."""
        claim = f"{self._layout.lock}.claim"
        if not self._create(claim, mine):
            claimant = self._read(claim)
            if claimant is not None:
                if self._alive(claimant, claim):
                    return _parse(claimant) or _unknown(self._clock.now())
                self._storage.delete(claim)
            return self._try()
        try:
            if self._read(self._layout.lock) == dead:  # else it was taken over before our claim
                self._storage.write_bytes(self._layout.lock, _text(mine))
                self._mine = mine
        finally:
            self._storage.delete(claim)
        return self._try()

    def _create(self, path: str, mine: Holder) -> bool:
        """Write a file that must not exist; False if it does."""
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
                f"{self._storage.shown(path)}: the lock cannot be created ({error.strerror}); check the storage."
            ) from error
        finally:
            self._storage.delete(draft)

    def _alive(self, data: bytes, path: str) -> bool:
        holder = _parse(data)
        if holder is None:  # torn by a crash, or just being written
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
            f"{now - holder.started:.0f} s, last alive {now - holder.heartbeat:.0f} s ago; wait for it or end it "
            f"(a dead one on another machine is taken over {STALE_S:.0f} s after its last heartbeat)."
        )


def _link(draft: Path, path: Path, text: bytes) -> bool:
    try:
        os.link(draft, path)
    except FileExistsError:
        return False
    except OSError as error:
        if error.errno not in (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS):
            if draft.stat().st_nlink == 2:  # NFS may report a failure of a link that was made
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
