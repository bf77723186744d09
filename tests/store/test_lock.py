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
from raybayes.store.lock import HEARTBEAT_S, STALE_S, BurstLock


def rewrite(layout, **changes):
    data = json.loads(layout.storage.read_bytes(layout.lock))
    layout.storage.write_bytes(layout.lock, json.dumps({**data, **changes}).encode())


def test_one_burst_at_a_time(anywhere):
    first, second = BurstLock(anywhere), BurstLock(anywhere)
    first.acquire()
    first.acquire()
    assert first.read_holder().pid == os.getpid()
    with pytest.raises(StoreError, match=rf"another burst works on this sweep: .*, process {os.getpid()}, for \d"):
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


@pytest.mark.parametrize("elsewhere", [{"host": "node7"}, {"pids": "another container"}])
def test_a_silent_holder_elsewhere_is_taken_over_after_two_minutes(anywhere, elsewhere):
    clock = VirtualClock(1.7e9)
    BurstLock(anywhere, clock).acquire()
    rewrite(anywhere, **elsewhere, pid=4)
    clock.advance(STALE_S)
    name = elsewhere.get("host", os.uname().nodename)
    with pytest.raises(
        StoreError, match=f"{name}, process 4, for 120 s, last heartbeat 120 s ago; wait for it or stop it"
    ):
        BurstLock(anywhere, clock).acquire()
    clock.advance(1)
    lock = BurstLock(anywhere, clock)
    lock.acquire()
    assert lock.read_holder().heartbeat == 1.7e9 + 121


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


def test_a_torn_lock_counts_as_alive_for_two_minutes(layout):
    layout.storage.write_bytes(layout.lock, b'{"host": "no')
    with pytest.raises(StoreError, match="an unknown machine"):
        BurstLock(layout).acquire()
    old = time.time() - STALE_S - 5
    os.utime(layout.storage.local_path(layout.lock), (old, old))
    BurstLock(layout).acquire()


def test_a_claim_left_by_a_dead_process_does_not_block(layout):
    BurstLock(layout).acquire()
    rewrite(layout, pid=2**22 + 1)
    layout.storage.write_bytes(f"{layout.lock}.claim", layout.storage.read_bytes(layout.lock))
    BurstLock(layout).acquire()
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
