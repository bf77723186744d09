import errno
import json
import math
import os

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from raybayes.clock import VirtualClock
from raybayes.errors import StoreError
from raybayes.store.filesystem import open_storage
from raybayes.store.layout import Layout
from raybayes.store.logs.report_log import PART_INTERVAL_S, ReportLog
from raybayes.store.logs.reports import FIXED, compact_reports, next_burst_number, read_reports


def report(trial, step, attempt=0, repeat=0, **metrics):
    return {
        "trial": trial,
        "repeat": repeat,
        "attempt": attempt,
        "step": step,
        "seconds": 0.5 * step,
        "time": 1.7e9 + step,
        "node": "n1",
        **metrics,
    }


def test_a_sweep_without_reports_has_an_empty_table(anywhere):
    assert next_burst_number(anywhere) == 0
    assert read_reports(anywhere).schema == FIXED
    assert len(read_reports(anywhere)) == 0


def test_reports_come_back_in_order_while_the_burst_runs_and_after(anywhere):
    clock = VirtualClock()
    log = ReportLog(anywhere, 0, clock)
    log.append(report(1, 1, loss=0.5))
    log.append(report(0, 2, loss=0.25, accuracy=0.75))
    log.flush()
    log.append(report(0, 1, repeat=1, loss=1))
    log.append(report(0, 1, loss=2))
    clock.advance(PART_INTERVAL_S)
    log.flush()
    running = read_reports(anywhere)
    log.close()
    after = read_reports(anywhere)
    assert running.equals(after)
    assert anywhere.storage.list(anywhere.reports) == ["burst-0000.parquet"]
    assert after.column_names == [*FIXED.names, "loss", "accuracy"]
    assert after.select(["trial", "repeat", "step", "loss", "accuracy"]).to_pydict() == {
        "trial": [0, 0, 0, 1],
        "repeat": [0, 0, 1, 0],
        "step": [1, 2, 1, 1],
        "loss": [2.0, 0.25, 1.0, 0.5],
        "accuracy": [None, 0.75, None, None],
    }
    assert after["time"].to_pylist() == [1.7e9 + 1, 1.7e9 + 2, 1.7e9 + 1, 1.7e9 + 1]
    assert next_burst_number(anywhere) == 1


def test_numbers_that_json_does_not_know_survive(anywhere):
    with ReportLog(anywhere, 0) as log:
        log.append(report(0, 1, loss=math.nan, kl=math.inf, elbo=-math.inf, extra=None))
        log.append(report(0, 2, loss=1e-300, kl=0.1 + 0.2))
        log.flush()
        running = read_reports(anywhere)
    for table in (running, read_reports(anywhere)):
        first, second = table.to_pylist()
        assert math.isnan(first["loss"])
        assert (first["kl"], first["elbo"]) == (math.inf, -math.inf)
        assert (second["loss"], second["kl"], second["elbo"]) == (1e-300, 0.1 + 0.2, None)
        assert "extra" not in first
        assert table["loss"].null_count == 0


def test_of_a_step_reported_twice_the_later_attempt_counts(layout):
    with ReportLog(layout, 0) as log:
        for step in (1, 2, 3):
            log.append(report(7, step, attempt=0, loss=10.0 + step))
    with ReportLog(layout, 1) as log:
        for step in (3, 2):
            log.append(report(7, step, attempt=1, loss=20.0 + step))
    with ReportLog(layout, 2) as log:
        log.append(report(7, 1, attempt=0, loss=31.0))  # the same attempt again: what was written last counts
    assert read_reports(layout)["loss"].to_pylist() == [31.0, 22.0, 23.0]


def test_what_was_not_flushed_is_not_there_and_what_was_is(layout):
    log = ReportLog(layout, 0)
    log.append(report(0, 1, loss=1.0))
    assert len(read_reports(layout)) == 0
    log.flush()
    log.flush()
    log.append(report(0, 2, loss=1.0))
    assert read_reports(layout)["step"].to_pylist() == [1]


@pytest.mark.parametrize("cut", [1, 20, 60])
def test_a_torn_last_line_is_ignored(layout, cut):
    log = ReportLog(layout, 0)
    log.append(report(0, 1, loss=1.0))
    log.append(report(0, 2, loss=2.0))
    log.flush()
    path = layout.storage.local_path(layout.report_log(0))
    path.write_bytes(path.read_bytes()[: -1 - cut])
    assert read_reports(layout)["step"].to_pylist() == [1]
    assert next_burst_number(layout) == 1
    compact_reports(layout)
    assert layout.storage.list(layout.reports) == ["burst-0000.parquet"]
    assert read_reports(layout)["step"].to_pylist() == [1]


def test_zeros_after_a_power_cut_are_ignored(layout):
    log = ReportLog(layout, 0)
    log.append(report(0, 1, loss=1.0))
    log.flush()
    path = layout.storage.local_path(layout.report_log(0))
    path.write_bytes(path.read_bytes() + bytes(4096))
    assert read_reports(layout)["step"].to_pylist() == [1]


@pytest.mark.parametrize("damage", ['{"trial": 0, "rep', "", '{"trial": 0}', "3", "\x00\x00"])
def test_a_torn_line_in_the_middle_is_named(layout, damage):
    lines = [json.dumps(report(0, 1)), damage, json.dumps(report(0, 3))]
    layout.storage.write_bytes(layout.report_log(4), "".join(line + "\n" for line in lines).encode())
    with pytest.raises(StoreError, match=r"sweep/reports/burst-0004\.jsonl:2: this line is not a complete report"):
        read_reports(layout)


def test_a_crash_between_table_and_removal_of_the_log_counts_nothing_twice(layout):
    log = ReportLog(layout, 0)
    log.append(report(0, 1, loss=1.0))
    log.flush()
    lines = layout.storage.read_bytes(layout.report_log(0))
    log.close()
    layout.storage.write_bytes(layout.report_log(0), lines + b"{torn\n{torn\n")
    assert len(read_reports(layout)) == 1
    compact_reports(layout)
    assert layout.storage.list(layout.reports) == ["burst-0000.parquet"]


def test_a_reader_that_is_overtaken_by_the_end_of_the_burst_looks_again(layout, monkeypatch):
    log = ReportLog(layout, 0)
    log.append(report(0, 1, loss=1.0))
    log.flush()
    read_bytes = type(layout.storage).read_bytes

    def overtaken(storage, path):
        log.close()
        return read_bytes(storage, path)

    monkeypatch.setattr(type(layout.storage), "read_bytes", overtaken)
    assert len(read_reports(layout)) == 1


def test_a_burst_is_never_written_to_again(layout):
    with ReportLog(layout, 0) as log:
        log.append(report(0, 1))
    with pytest.raises(StoreError, match="burst 0 already has reports"):
        ReportLog(layout, 0)
    with pytest.raises(StoreError, match="report log is closed"):
        log.append(report(0, 2))
    log.close()


def test_a_burst_without_reports_leaves_no_file(anywhere):
    ReportLog(anywhere, 0).close()
    assert anywhere.storage.list(anywhere.reports) == []


def test_a_wrong_report_is_refused_when_it_is_made(layout):
    log = ReportLog(layout, 0)
    incomplete = report(0, 1)
    del incomplete["node"]
    with pytest.raises(StoreError, match="a report lacks node"):
        log.append(incomplete)
    for wrong in ("0.5", [1.0], "nan"):
        with pytest.raises(StoreError, match=r"trial 0, step 1: loss is .*, which is not a number"):
            log.append(report(0, 1, loss=wrong))
    log.close()
    assert len(read_reports(layout)) == 0


def test_numbers_of_other_libraries_are_taken(layout):
    np = pytest.importorskip("numpy")
    torch = pytest.importorskip("torch")
    with ReportLog(layout, 0) as log:
        log.append(report(np.int64(3), np.int32(1), loss=np.float32(0.5), kl=torch.tensor(0.25), hit=True))
    assert read_reports(layout).select(["trial", "loss", "kl", "hit"]).to_pylist() == [
        {"trial": 3, "loss": 0.5, "kl": 0.25, "hit": 1.0}
    ]


def test_a_full_disk_tears_nothing_and_loses_nothing(layout, monkeypatch):
    log = ReportLog(layout, 0)
    log.append(report(0, 1, loss=1.0))
    log.flush()
    write = os.write

    def half(handle, data):
        if len(data) > 30:
            return write(handle, data[:30])
        raise OSError(errno.ENOSPC, "No space left on device")

    log.append(report(0, 2, loss=2.0))
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", half)
        with pytest.raises(StoreError, match="No space left on device; free some space"):
            log.flush()
    assert read_reports(layout)["step"].to_pylist() == [1]
    log.append(report(0, 3, loss=3.0))
    log.close()
    assert read_reports(layout)["step"].to_pylist() == [1, 2, 3]


def test_an_object_store_gets_few_files(bucket):
    layout, clock = Layout(bucket.child("sweep")), VirtualClock()
    log = ReportLog(layout, 0, clock)
    for step in range(100):
        log.append(report(0, step))
        log.flush()
        clock.advance(0.5)
    assert layout.storage.list(layout.reports) == [f"burst-0000-part-{part:06d}.parquet" for part in range(10)]
    assert read_reports(layout)["step"].to_pylist() == list(range(91))
    log.close()
    assert layout.storage.list(layout.reports) == ["burst-0000.parquet"]
    assert read_reports(layout)["step"].to_pylist() == list(range(100))


def test_a_broken_table_is_named(layout):
    layout.storage.write_bytes(layout.report_table(0), b"PAR1 and no more")
    with pytest.raises(StoreError, match=r"burst-0000\.parquet: this is not a complete Parquet file"):
        read_reports(layout)


def test_foreign_files_are_passed_over(layout):
    layout.storage.write_bytes(f"{layout.reports}/notes.txt", b"mine")
    assert len(read_reports(layout)) == 0
    assert next_burst_number(layout) == 0


rows = st.builds(
    report,
    trial=st.integers(0, 3),
    step=st.integers(0, 4),
    attempt=st.integers(0, 2),
    repeat=st.integers(0, 1),
    loss=st.one_of(st.none(), st.floats()),
)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.lists(rows, max_size=8), max_size=4))
def test_reading_agrees_with_the_obvious_way(tmp_path_factory, bursts):
    layout = Layout(open_storage(str(tmp_path_factory.mktemp("runs"))))
    for written in bursts:
        with ReportLog(layout, next_burst_number(layout)) as log:
            for row in written:
                log.append(row)
    best = {}
    for row in (row for written in bursts for row in written):
        key = row["trial"], row["repeat"], row["step"]
        if key not in best or best[key]["attempt"] <= row["attempt"]:
            best[key] = row
    best = {  # what a later attempt has replaced from an earlier step on does not count
        (trial, repeat, step): row
        for (trial, repeat, step), row in best.items()
        if all(row["attempt"] >= best.get((trial, repeat, before), row)["attempt"] for before in range(step))
    }
    table = read_reports(layout)
    assert [(r["trial"], r["repeat"], r["step"]) for r in table.to_pylist()] == sorted(best)
    assert table["attempt"].to_pylist() == [best[key]["attempt"] for key in sorted(best)]
    losses = table["loss"].to_pylist() if "loss" in table.column_names else [None] * len(best)
    wanted = [best[key]["loss"] for key in sorted(best)]
    assert [repr(loss) for loss in losses] == [repr(loss) for loss in wanted]


def test_columns_have_the_promised_types(layout):
    with ReportLog(layout, 0) as log:
        log.append(report(0, 1, loss=1))
    assert read_reports(layout).schema.remove_metadata() == pa.schema([*FIXED, ("loss", pa.float64())])
