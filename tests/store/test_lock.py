import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time

import psutil
import pytest

from raybayes.clock import VirtualClock
from raybayes.errors import StoreError
from raybayes.store.filesystem import open_storage
from raybayes.store.layout import Layout
from raybayes.store.lock import HEARTBEAT_S, LEASE_S, BurstLock


def rewrite(layout, **changes):
    data = json.loads(layout.storage.read_bytes(layout.lock))
    layout.storage.write_bytes(layout.lock, json.dumps({**data, **changes}).encode())


def test_one_burst_at_a_time(anywhere):
    first, second = BurstLock(anywhere), BurstLock(anywhere)
    first.acquire()
    first.acquire()
    assert first.read_holder().pid == os.getpid()
    me = os.getpid()
    with pytest.raises(StoreError, match=rf"another burst works on this sweep: .*, process {me} .*: kill {me} "):
        second.acquire()
    second.release()
    first.release()
    first.release()
    second.acquire()
    second.release()
    assert anywhere.storage.list() == []
    assert first.read_holder() is None


def test_the_lock_ends_with_its_block(layout):
    with pytest.raises(ZeroDivisionError), BurstLock(layout):
        raise ZeroDivisionError
    with BurstLock(layout) as lock:
        lock.refresh()


def test_waiting_for_the_holder(layout):
    first = BurstLock(layout)
    first.acquire()
    timer = threading.Timer(0.3, first.release)
    timer.start()
    second = BurstLock(layout)
    second.acquire(wait_s=20.0)
    timer.join()
    started = time.monotonic()
    with pytest.raises(StoreError, match="another burst"):
        BurstLock(layout).acquire(wait_s=0.3)
    assert time.monotonic() - started >= 0.3


def test_a_dead_process_of_this_machine_is_taken_over_at_once(layout):
    code = (
        "import sys; from raybayes.store.lock import *; from raybayes.store.filesystem import open_storage\n"
        "BurstLock(Layout(open_storage(sys.argv[1]))).acquire()"
    )
    subprocess.run(
        [sys.executable, "-c", code, layout.storage.root],
        check=True,
        cwd=os.getcwd(),
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    dead = BurstLock(layout).read_holder()
    assert dead.pid != os.getpid()
    with BurstLock(layout) as lock:
        assert lock.read_holder().pid == os.getpid()
    assert layout.storage.list() == []


def test_a_process_that_got_the_number_of_a_dead_one_is_not_the_holder(layout):
    BurstLock(layout).acquire()
    parent = psutil.Process().ppid()
    rewrite(layout, pid=parent, born=psutil.Process(parent).create_time())
    with pytest.raises(StoreError, match=f"process {parent}"):
        BurstLock(layout).acquire()
    rewrite(layout, born=psutil.Process(parent).create_time() - 1000)
    BurstLock(layout).acquire()


ELSEWHERE = [{"host": "node7"}, {"pids": "another container"}]
SKEWS = [150.0, -150.0, 1e6]  # seconds by which the clock of the holder's machine is ahead


def taken_elsewhere(layout, elsewhere, skew_s):
    """A lock that a process on another machine holds, whose clock is wrong by so much."""
    BurstLock(layout, VirtualClock(1.7e9 + skew_s)).acquire()
    rewrite(layout, **elsewhere, pid=4)


def contender(layout, beat=lambda now: None):
    """A lock whose clock advances while it waits; `beat` is called with the elapsed time at each look."""
    clock = VirtualClock(1.7e9)

    def sleep(seconds):
        clock.advance(seconds)
        beat(clock.now() - 1.7e9)

    return BurstLock(layout, clock, sleep), clock


@pytest.mark.parametrize("elsewhere", ELSEWHERE)
@pytest.mark.parametrize("skew_s", SKEWS)
def test_a_silent_holder_elsewhere_is_taken_over_after_a_lease_whatever_its_clock(anywhere, elsewhere, skew_s, caplog):
    taken_elsewhere(anywhere, elsewhere, skew_s)
    lock, clock = contender(anywhere)
    lock.acquire()
    assert LEASE_S <= clock.now() - 1.7e9 <= LEASE_S + 1
    assert lock.read_holder().pid == os.getpid()
    assert "process 4 held the lock; waiting up to 60 s to see whether it is alive" in caplog.text


@pytest.mark.parametrize("elsewhere", ELSEWHERE)
@pytest.mark.parametrize("skew_s", SKEWS)
def test_a_living_holder_elsewhere_is_never_robbed_whatever_its_clock(anywhere, elsewhere, skew_s):
    taken_elsewhere(anywhere, elsewhere, skew_s)
    beats = {"next": HEARTBEAT_S / 2, "count": 0}

    def beat(now):
        if now >= beats["next"]:
            beats.update(next=now + HEARTBEAT_S, count=beats["count"] + 1)
            rewrite(anywhere, heartbeat=1.7e9 + skew_s + now, beats=beats["count"])

    lock, clock = contender(anywhere, beat)
    with pytest.raises(StoreError, match=r"another burst works on this sweep: .*process 4"):
        lock.acquire(wait_s=1.5 * LEASE_S)
    assert lock.read_holder().pid == 4
    lock, clock = contender(anywhere, beat)
    beats["next"] = 0.0
    with pytest.raises(StoreError, match="kill 4"):
        lock.acquire()
    assert clock.now() - 1.7e9 < HEARTBEAT_S, "it is known to be alive as soon as its lock has changed"


def test_a_reader_calls_a_silent_holder_elsewhere_dead_once_it_has_watched_it(layout):
    taken_elsewhere(layout, {"host": "node7"}, 150.0)
    clock = VirtualClock(5.0)
    lock = BurstLock(layout, clock)
    assert lock.find_living().host == "node7"
    clock.advance(LEASE_S + 1)
    assert lock.find_living() is None


def test_clocks_that_jump_do_not_stop_the_heartbeat(layout):
    class Jumping(VirtualClock):
        def now(self):
            return 1e9 - 500 * self.elapsed()

    clock = Jumping(0.0)
    lock = BurstLock(layout, clock)
    lock.acquire()
    for beats in (1, 2):
        clock.advance(HEARTBEAT_S)
        lock.refresh()
        assert lock.read_holder().beats == beats


def test_a_heartbeat_keeps_the_lock(layout):
    clock = VirtualClock(1.7e9)
    lock = BurstLock(layout, clock)
    lock.acquire()
    lock.refresh()
    assert lock.read_holder().heartbeat == 1.7e9
    clock.advance(HEARTBEAT_S)
    lock.refresh()
    assert (lock.read_holder().heartbeat, lock.read_holder().started) == (1.7e9 + HEARTBEAT_S, 1.7e9)


def test_a_burst_that_lost_its_lock_is_told_and_leaves_the_other_alone(layout):
    clock = VirtualClock(1.7e9)
    lock = BurstLock(layout, clock)
    lock.acquire()
    rewrite(layout, host="node7", token="other")
    clock.advance(300)
    with pytest.raises(
        StoreError, match=r"lost its lock to node7, process \d+ after 300 s without a heartbeat, so it stops"
    ):
        lock.refresh()
    lock.release()
    assert lock.read_holder().host == "node7"
    with pytest.raises(StoreError, match="does not hold the lock"):
        lock.refresh()


def test_a_lock_that_was_removed_is_noticed(layout):
    clock = VirtualClock(1.7e9)
    lock = BurstLock(layout, clock)
    lock.acquire()
    layout.storage.delete(layout.lock)
    clock.advance(HEARTBEAT_S)
    with pytest.raises(StoreError, match="the lock of this burst was deleted"):
        lock.refresh()


def test_a_torn_lock_counts_as_alive_for_a_lease(layout):
    layout.storage.write_bytes(layout.lock, b'{"host": "no')
    lock, clock = contender(layout)
    lock.acquire()
    assert LEASE_S <= clock.now() - 1.7e9 <= LEASE_S + 1


def test_a_claim_left_by_a_dead_process_does_not_block(layout):
    BurstLock(layout).acquire()
    rewrite(layout, pid=2**22 + 1)
    layout.storage.write_bytes(f"{layout.lock}.claim", layout.storage.read_bytes(layout.lock))
    BurstLock(layout).acquire()
    assert layout.storage.list() == ["burst.lock"]


def test_a_claim_left_on_another_machine_does_not_block_for_ever(layout):
    taken_elsewhere(layout, {"host": "node7"}, 0.0)
    layout.storage.write_bytes(f"{layout.lock}.claim", layout.storage.read_bytes(layout.lock))
    lock, _ = contender(layout)
    lock.acquire()
    assert layout.storage.list() == ["burst.lock"]


def test_a_disk_without_hard_links_works_too(layout, monkeypatch):
    def refuse(*_):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(os, "link", refuse)
    lock = BurstLock(layout)
    lock.acquire()
    with pytest.raises(StoreError, match="another burst"):
        BurstLock(layout).acquire()
    lock.release()
    assert layout.storage.list() == []


def test_a_link_that_fails_otherwise_is_one_sentence(layout, monkeypatch):
    def refuse(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "link", refuse)
    with pytest.raises(StoreError, match=r"burst\.lock: the lock cannot be created \(Input/output error\)"):
        BurstLock(layout).acquire()


def _race(root, barrier, results):
    lock = BurstLock(Layout(open_storage(root)))
    for _ in range(15):
        barrier.wait()
        try:
            lock.acquire()
            results.put(1)
        except StoreError:
            results.put(0)
        barrier.wait()
        barrier.wait()  # the parent prepares the next round
        lock._mine = None


@pytest.mark.parametrize("before", ["nobody", "a dead process"])
def test_of_several_processes_exactly_one_gets_it(layout, before):
    context = multiprocessing.get_context("fork")
    n = 4
    barrier, results = context.Barrier(n + 1), context.SimpleQueue()
    racers = [context.Process(target=_race, args=(layout.storage.root, barrier, results)) for _ in range(n)]
    for racer in racers:
        racer.start()
    for _ in range(15):
        if before == "a dead process":
            BurstLock(layout).acquire()
            rewrite(layout, pid=2**22 + 1)
        barrier.wait()
        barrier.wait()
        assert sum(results.get() for _ in range(n)) == 1
        assert layout.storage.list() == ["burst.lock"]
        layout.storage.delete(layout.lock)
        barrier.wait()
    for racer in racers:
        racer.join()
        assert racer.exitcode == 0
