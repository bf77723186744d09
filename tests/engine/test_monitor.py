"""What a burst publishes: event files, use of the machines, new reports; and nothing can harm it."""

import json
import time

import raybayes as rb
from raybayes.engine.monitor import Monitor
from raybayes.store.filesystem import open_storage
from raybayes.store.layout import Layout
from raybayes.store.logs.report_log import ReportLog


def report(step):
    fixed = {"trial": 0, "repeat": 0, "attempt": 1, "seconds": 1.0, "time": 1.7e9, "node": "n"}
    return {**fixed, "step": step, "loss": 1.0 / step}


def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def test_it_publishes_new_reports_and_use_and_ends_with_the_burst(tmp_path):
    layout, seen, pulses = Layout(open_storage(str(tmp_path)).child("s")), [], []
    old = ReportLog(layout, 0)
    old.append(report(9))
    old.close()  # an earlier burst, whose reports are not new
    usage = {"time": 1.0, "total": {"CPU": 2.0}, "taken": {"CPU": 1.0}}
    log = ReportLog(layout, 1)
    with Monitor(layout, ["loss"], lambda: usage, seen.extend, lambda: pulses.append(1), every_s=0.01):
        log.append(report(1))
        log.flush()
        until(lambda: seen and layout.storage.exists(layout.usage))
        assert json.loads(layout.storage.read_bytes(layout.usage)) == usage
        log.append(report(2))
        log.close()
    assert [row["step"] for row in seen][:1] == [1]
    assert pulses
    assert not layout.storage.exists(layout.usage)
    for controller in (0, 1):
        assert layout.storage.exists(layout.event_file(0, 0, controller))
        assert layout.storage.exists(layout.event_mark(controller))


def test_a_storage_that_refuses_is_a_warning_and_no_more(tmp_path, caplog):
    layout = Layout(open_storage(str(tmp_path)).child("s"))
    (tmp_path / "s").mkdir()
    (tmp_path / "s/tensorboard").write_text("a file where a folder should be")
    log = ReportLog(layout, 0)
    log.append(report(1))
    log.close()
    with Monitor(layout, ["loss"], every_s=0.01):
        time.sleep(0.2)
    warnings = [record.message for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1
    assert "event files and usage are not updated for now" in warnings[0]


def test_every_trial_of_a_sweep_has_event_files(tmp_path):
    rb.sweep("parabola", trials=2, config={"steps": 2}, storage=str(tmp_path), name="a", executor="local")
    folders = sorted(path.name for path in (tmp_path / "a/tensorboard").iterdir() if path.is_dir())
    assert folders == ["00000", "00001"]
    files = sorted(path.name for path in (tmp_path / "a/tensorboard/00001").iterdir())
    assert files == ["events.out.tfevents.0000.raybayes", "events.out.tfevents.configuration.raybayes"]
