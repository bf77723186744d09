"""Reports as they come: each one once, through flushes, torn lines, ends of bursts and new bursts."""

import math

from raybayes.clock import VirtualClock
from raybayes.store.logs.report_log import PART_INTERVAL_S, ReportLog
from raybayes.store.logs.report_tail import ReportTail
from raybayes.store.logs.reports import compact_reports


def report(trial, step, **metrics):
    fixed = {"repeat": 0, "attempt": 1, "seconds": 0.5 * step, "time": 1.7e9 + step, "node": "n1"}
    return {"trial": trial, "step": step, **fixed, **metrics}


def told(news):
    return [(burst, row["trial"], row["step"]) for burst, row in news]


def test_each_report_comes_once_while_bursts_come_and_go(anywhere):
    clock, follower = VirtualClock(), ReportTail(anywhere)
    assert follower.read_new() == []
    for burst in (0, 1):
        log = ReportLog(anywhere, burst, clock)
        for step in (1, 2):
            log.append(report(burst, step, loss=step / 2))
            log.flush()
            clock.advance(PART_INTERVAL_S)
            assert told(follower.read_new()) == [(burst, burst, step)]
        log.append(report(burst, 3, loss=0.0))
        log.append(report(burst, 4, loss=0.0))
        log.close()  # the log becomes a table that holds the first two as well
        assert told(follower.read_new()) == [(burst, burst, 3), (burst, burst, 4)]
        assert follower.read_new() == []
    assert told(ReportTail(anywhere).read_new()) == [(b, b, s) for b in (0, 1) for s in (1, 2, 3, 4)]
    assert told(ReportTail(anywhere, without={0}).read_new()) == [(1, 1, s) for s in (1, 2, 3, 4)]


def test_the_values_are_those_that_were_reported(anywhere):
    log = ReportLog(anywhere, 0)
    log.append(report(3, 1, loss=0.25, accuracy=math.nan))
    log.append(report(3, 2, loss=0.125))
    log.close()
    [(_, first), (_, second)] = ReportTail(anywhere).read_new()
    assert first["loss"] == 0.25
    assert math.isnan(first["accuracy"])
    assert "accuracy" not in second
    assert second["node"] == "n1"


def test_half_a_line_is_read_when_it_is_whole(layout):
    log = ReportLog(layout, 0)
    log.append(report(0, 1, loss=1.0))
    log.flush()
    path = layout.storage.local_path(layout.report_log(0))
    whole = path.read_bytes()
    path.write_bytes(whole + whole[:20])
    follower = ReportTail(layout)
    assert told(follower.read_new()) == [(0, 0, 1)]
    path.write_bytes(whole + whole.replace(b'"step": 1', b'"step": 2'))
    assert told(follower.read_new()) == [(0, 0, 2)]


def test_a_dead_bursts_log_that_another_one_turns_into_a_table_is_not_read_twice(layout):
    log = ReportLog(layout, 0)
    log.append(report(0, 1, loss=1.0))
    log.flush()
    follower = ReportTail(layout)
    assert len(follower.read_new()) == 1
    compact_reports(layout)
    assert follower.read_new() == []
