"""What a burst tells those who watch: event files, use of the machines, new reports; and nothing can harm it."""

import json
import time

import pytest

import raybayes as rb
from raybayes.engine.monitor import Monitor
from raybayes.engine.on_ray.usage import mean_load, this_load
from raybayes.store.filesystem import open_storage
from raybayes.store.layout import Layout
from raybayes.store.logs.reports import ReportLog


def report(step):
    fixed = {"trial": 0, "repeat": 0, "attempt": 1, "seconds": 1.0, "time": 1.7e9, "node": "n"}
    return {**fixed, "step": step, "loss": 1.0 / step}


def until(condition):
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.01)


def test_it_tells_new_reports_and_use_and_ends_with_the_burst(tmp_path):
    layout, told, pulses = Layout(open_storage(str(tmp_path)).child("s")), [], []
    old = ReportLog(layout, 0)
    old.append(report(9))
    old.close()  # an earlier burst, which nobody wants told again
    usage = {"time": 1.0, "total": {"CPU": 2.0}, "taken": {"CPU": 1.0}}
    log = ReportLog(layout, 1)
    with Monitor(layout, ["loss"], lambda: usage, told.extend, lambda: pulses.append(1), every_s=0.01):
        log.append(report(1))
        log.flush()
        until(lambda: told and layout.storage.exists(layout.usage))
        assert json.loads(layout.storage.read_bytes(layout.usage)) == usage
        log.append(report(2))
        log.close()
    assert [row["step"] for row in told][:1] == [1]
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
    assert "event files and usage are not kept up for now" in warnings[0]


def test_every_trial_of_a_sweep_has_event_files(tmp_path):
    rb.sweep("parabola", trials=2, config={"steps": 2}, storage=str(tmp_path), name="a", executor="local")
    folders = sorted(path.name for path in (tmp_path / "a/tensorboard").iterdir() if path.is_dir())
    assert folders == ["00000", "00001"]
    files = sorted(path.name for path in (tmp_path / "a/tensorboard/00001").iterdir())
    assert files == ["events.out.tfevents.0000.raybayes", "events.out.tfevents.configuration.raybayes"]


def test_load_is_the_mean_of_what_rays_agents_serve():
    page = (
        '# HELP ray_node_cpu_utilization x\nray_node_cpu_utilization{{ip="{0}",v="a b"}} {1}\n'
        'ray_node_mem_used{{ip="{0}"}} 2.0e+09\nray_node_mem_total{{ip="{0}"}} 8e9\n'
        'ray_node_gpus_utilization{{GpuIndex="0"}} 90\nray_node_gpus_utilization{{GpuIndex="1"}} 30\nother 3\n'
    )
    load = mean_load([page.format("n1", 50.0), page.format("n2", 100.0)])
    assert load == {"cpu": 75.0, "gpu": 60.0, "memory": pytest.approx(25.0)}
    assert mean_load([]) == {}


def test_the_load_of_this_machine_is_a_percentage():
    load = this_load()
    assert 0 <= load["cpu"] <= 100
    assert 0 < load["memory"] <= 100


def test_the_grafana_board_draws_metrics_that_there_are():
    import re
    from pathlib import Path

    from raybayes.engine.on_ray.metrics import GAUGES, REPORTS

    docs = Path(__file__).parent.parent.parent / "docs"
    ours = {f"ray_{name}" for name in GAUGES} | {f"ray_{REPORTS}_total"}
    drawn = set(re.findall(r"ray_raybayes_\w+", (docs / "grafana-board.json").read_text()))
    listed = set(re.findall(r"ray_raybayes_\w+", (docs / "watching.md").read_text()))
    assert drawn == ours
    assert listed == ours
    assert len(json.loads((docs / "grafana-board.json").read_text())["panels"]) == 8


class Recorded:
    """In the place of a Ray metric: what was set, by labels."""

    def __init__(self, name, doc, labels):
        self.labels, self.values = labels, {}

    def set(self, value, tags):
        assert set(tags) == set(self.labels)
        self.values[tuple(tags.values())] = value

    def inc(self, value, tags):
        self.set(self.values.get(tuple(tags.values()), 0) + value, tags)


def test_metrics_for_ray_carry_their_labels(monkeypatch):
    from raybayes.engine.on_ray import metrics
    from raybayes.search.progress import Progress, Running

    monkeypatch.setattr(metrics, "Gauge", Recorded)
    monkeypatch.setattr(metrics, "Counter", Recorded)
    exporter = metrics.RayMetrics("s", "loss")
    exporter.reports([report(1), report(2), {**report(3), "loss": float("nan")}])
    running = (Running(4, 0, 1, None), Running(4, 1, 1, None))
    exporter.progress(Progress(10, {"COMPLETE": 3}, running, best=(2, 0.25)))
    gauges = exporter._gauges
    assert gauges["raybayes_metric"].values == {("s", "0", "0", "loss"): 0.5}  # NaN is not a number to draw
    assert gauges["raybayes_step"].values == {("s", "0", "0"): 3}
    assert exporter._reports.values == {("s",): 3}
    states = {state: n for (_, state), n in gauges["raybayes_trials"].values.items()}
    assert states == {"COMPLETE": 3, "PRUNED": 0, "FAIL": 0, "RUNNING": 1, "PAUSED": 0}
    assert gauges["raybayes_trials_wanted"].values == {("s",): 10}
    assert gauges["raybayes_best"].values == {("s", "loss"): 0.25}


def test_a_job_in_rays_dashboard_says_what_it_works_on(tmp_path):
    from raybayes.engine.run import about
    from raybayes.spec.sweep_spec import SweepSpec
    from raybayes.spec.validation import build

    layout = Layout(open_storage(str(tmp_path)).child("lr-search"))
    spec = build(SweepSpec, {"project": "parabola", "trials": 7, "scheduler": "asha", "name": "lr-search"}, "test")
    told = about(layout, spec)
    assert told["job_name"] == "raybayes sweep lr-search"
    assert told["raybayes_project"] == "parabola"
    assert told["raybayes_trials"] == "7"
    assert told["raybayes_search"] == "tpe, asha"
    assert all(isinstance(value, str) for value in told.values())  # Ray takes nothing else
