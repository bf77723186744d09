"""Event files as TensorBoard reads them: framing, values, restarts, and what a killed driver left."""

import struct

import pyarrow as pa
import pytest
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.plugin_hparams_pb2 import HParamsPluginData

from raybayes.store.logs.report_log import ReportLog
from raybayes.store.logs.tensorboard_events import EventFiles


def crc32c(data):
    """The Castagnoli checksum bit by bit (RFC 3720), masked as in TFRecord files."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0x82F63B78 if crc & 1 else 0)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def events(layout, path):
    data, at, found = layout.storage.read_bytes(path), 0, []
    while at < len(data):
        (length,) = struct.unpack_from("<Q", data, at)
        assert struct.unpack_from("<I", data, at + 8) == (crc32c(data[at : at + 8]),)
        body = data[at + 12 : at + 12 + length]
        assert struct.unpack_from("<I", data, at + 12 + length) == (crc32c(body),)
        found.append(Event.FromString(body))
        at += 16 + length
    assert found[0].file_version == "brain.Event:2"
    return found[1:]


def scalars(layout, path):
    return [
        (event.step, value.tag, pytest.approx(value.simple_value, rel=1e-6))
        for event in events(layout, path)
        for value in event.summary.value
        if value.tag != "training seconds"
    ]


def report(trial, step, attempt=1, repeat=0, **metrics):
    fixed = {"seconds": 0.5 * step, "time": 1.7e9 + step, "node": "n1"}
    return {"trial": trial, "repeat": repeat, "attempt": attempt, "step": step, **fixed, **metrics}


def write(layout, burst, rows):
    log = ReportLog(layout, burst)
    for row in rows:
        log.append(row)
    log.close()


def test_every_report_of_every_trial_is_there(anywhere):
    files = EventFiles(anywhere)
    write(anywhere, 0, [report(2, 1, loss=0.5, error=9.0), report(2, 2, loss=0.25), report(2, 1, repeat=1, loss=0.75)])
    assert len(files.update()) == 3
    files.close(None, ["loss"])
    path = anywhere.event_file(2, 0, 0)
    assert path == "tensorboard/00002/events.out.tfevents.0000.raybayes"
    assert scalars(anywhere, path) == [(1, "loss", 0.5), (1, "error", 9.0), (2, "loss", 0.25)]
    assert scalars(anywhere, anywhere.event_file(2, 1, 0)) == [(1, "loss", 0.75)]
    assert events(anywhere, path)[0].wall_time == 1.7e9 + 1


def test_files_grow_with_the_reports(layout):
    files, log = EventFiles(layout), ReportLog(layout, 0)
    for step in (1, 2, 3):
        log.append(report(0, step, loss=float(step)))
        log.flush()
        files.update()
        assert [s for s, _, _ in scalars(layout, layout.event_file(0, 0, 0))] == list(range(1, step + 1))


def test_a_trial_that_went_back_to_a_checkpoint_says_so(layout):
    rows = [report(0, step, loss=1.0) for step in (1, 2, 3)] + [report(0, 2, attempt=2, loss=0.5)]
    write(layout, 0, rows)
    EventFiles(layout).close(None, ["loss"])
    starts = [e.step for e in events(layout, layout.event_file(0, 0, 0)) if e.session_log.status == SessionLog.START]
    assert starts == [2]  # TensorBoard drops what it knows from this step on


def test_what_a_killed_driver_did_not_write_is_made_good(layout):
    dead, log = EventFiles(layout), ReportLog(layout, 0)
    log.append(report(0, 1, loss=1.0))
    log.flush()
    dead.update()
    log.append(report(0, 2, loss=0.5))
    log.close()  # and now both are gone
    write(layout, 1, [report(0, 3, loss=0.25)])
    EventFiles(layout).close(None, ["loss"])
    assert scalars(layout, layout.event_file(0, 0, 0)) == [(1, "loss", 1.0), (2, "loss", 0.5)]
    assert scalars(layout, layout.event_file(0, 0, 1)) == [(3, "loss", 0.25)]
    before = layout.storage.local_path(layout.event_file(0, 0, 0)).stat().st_mtime_ns
    write(layout, 2, [report(1, 1, loss=2.0)])
    EventFiles(layout).close(None, ["loss"])
    assert layout.storage.local_path(layout.event_file(0, 0, 0)).stat().st_mtime_ns == before  # whole: left alone


def test_configurations_are_hyperparameters(layout):
    write(layout, 0, [report(0, 1, loss=1.0)])
    trials = pa.table(
        {
            "trial": [0], "started": [1.0], "ended": [2.0], "config.lr": [0.1], "config.method": ["swag"],
            "config.nesterov": [True], "config.rank": pa.array([None], pa.int64()),
        }
    )  # fmt: skip
    EventFiles(layout).close(trials, ["loss"])
    found = events(layout, "tensorboard/00000/events.out.tfevents.configuration.raybayes")
    values = [value for event in found for value in event.summary.value]
    parts = {value.tag: HParamsPluginData.FromString(value.metadata.plugin_data.content) for value in values}
    chosen = parts["_hparams_/session_start_info"].session_start_info.hparams
    assert {name: value.number_value or value.string_value or value.bool_value for name, value in chosen.items()} == {
        "lr": 0.1,
        "method": "swag",
        "nesterov": True,
    }
    [metric] = parts["_hparams_/experiment"].experiment.metric_infos
    assert metric.name.tag == "loss"


def test_a_full_disk_is_one_sentence(layout):
    write(layout, 0, [report(0, 1, loss=1.0)])
    layout.storage.local_path(layout.tensorboard).write_text("a file where a folder should be")
    with pytest.raises(Exception, match="tensorboard"):
        EventFiles(layout).update()
