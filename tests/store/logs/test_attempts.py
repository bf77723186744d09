"""The table of attempts: every start of a run, why it ended, and what a killed burst leaves of it."""

import json

import pytest

from raybayes.clock import VirtualClock
from raybayes.store.logs.attempts import ENDS, KILLED, LOST, NO_MEMORY, AttemptLog, end_of_loss, read_attempts


def rows(layout, *columns):
    return [tuple(row[name] for name in columns) for row in read_attempts(layout).to_pylist()]


def test_a_lost_worker_and_the_next_attempt(anywhere):
    clock = VirtualClock(100.0)
    log = AttemptLog(anywhere, 0, clock)
    log.on_start(3, 0, 1, "n1")
    clock.advance(5.0)
    log.on_end(3, 0, 1, LOST, "the node is gone\nwith a long\ntail")
    log.on_end(3, 0, 1, "failed", "a second end of the same attempt does not count")
    log.on_start(3, 0, 2, "n2")
    clock.advance(7.0)
    log.on_end(3, 0, 2, "complete")
    log.close()
    assert rows(anywhere, "trial", "attempt", "burst", "node", "began", "ended", "seconds", "end", "cause") == [
        (3, 1, 0, "n1", 100.0, 105.0, 5.0, "worker lost", "the node is gone"),
        (3, 2, 0, "n2", 105.0, 112.0, 7.0, "complete", None),
    ]
    assert anywhere.storage.list() == ["attempts.parquet"], "the log has become the table"


def test_a_running_burst_is_read_too(layout):
    log = AttemptLog(layout, 0)
    log.on_start(0, 1, 1, "n")
    log.flush()
    assert rows(layout, "trial", "repeat", "node", "end") == [(0, 1, "n", None)]
    log.close()
    assert rows(layout, "end", "cause") == [("paused", "the burst ended")]


def test_a_killed_burst_leaves_its_attempts_to_the_next(layout):
    first = AttemptLog(layout, 0)
    first.on_start(0, 0, 1, "n")
    first.flush()
    with layout.storage.local_path(layout.attempt_log(0)).open("ab") as file:
        file.write(b'{"trial": 1, "rep')
    second = AttemptLog(layout, 1)
    second.on_start(0, 0, 2, "n")
    second.on_end(0, 0, 2, "complete")
    second.close()
    assert rows(layout, "burst", "attempt", "end") == [(0, 1, KILLED), (1, 2, "complete")]


@pytest.mark.parametrize(
    ("reason", "end"),
    [
        ("Task was killed due to the node running low on memory", NO_MEMORY),
        ("OutOfMemoryError: ...", NO_MEMORY),
        ("The actor died unexpectedly", LOST),
    ],
)
def test_the_cause_of_a_loss(reason, end):
    assert end_of_loss(reason) == end
    assert end in ENDS


def test_text_that_no_table_holds_is_kept_readable(layout):
    log = AttemptLog(layout, 0)
    log.on_start(0, 0, 1, "n")
    log.on_end(0, 0, 1, "failed", "caf\udce9.png " + "x" * 10_000)
    log.close()
    [(cause,)] = rows(layout, "cause")
    assert cause.startswith("caf\\udce9.png ")
    assert len(cause) < 600
    json.dumps(cause).encode("utf-8")


def test_a_storage_that_refuses_costs_nothing(layout):
    layout.storage.write_bytes("attempts", b"a file where a folder belongs")
    log = AttemptLog(layout, 0)
    log.on_start(0, 0, 1, "n")
    log.flush()
