"""The Python door refuses what can never be before anything is written."""

import pytest

import raybayes as rb
from raybayes.engine.on_ray import connect
from raybayes.errors import ResourceError
from raybayes.sweeps.results import SweepResult


@pytest.mark.parametrize("wanted", [{"gpus_per_worker": 64.0}, {"cpus_per_worker": 1e4}])
def test_this_process_refuses_what_its_machine_does_not_have(tmp_path, wanted):
    with pytest.raises(ResourceError, match=r"never fits on \d+ CPUs"):
        rb.sweep("parabola", trials=1, storage=str(tmp_path), executor="local", **wanted)
    assert list(tmp_path.iterdir()) == []


def test_a_sweep_goes_on_in_no_process_that_has_less_than_it_needs(tmp_path, monkeypatch):
    made = rb.sweep("parabola", trials=1, config={"steps": 1}, storage=str(tmp_path), executor="local")
    monkeypatch.setattr(connect, "this_machine", lambda: [connect.Node(0.5, 0)])
    with pytest.raises(ResourceError, match=r"never fits on 0\.5 CPUs \+ 0 GPUs"):
        rb.extend(made.path, 1, executor="local")
    assert rb.open_sweep(made.path).spec.trials == 1


def test_results_only_read_and_a_sweep_acts(tmp_path):
    made = rb.sweep("parabola", trials=1, config={"steps": 1}, storage=tmp_path, name="s", executor="local")
    assert type(made) is type(rb.open_sweep(tmp_path / "s")) is rb.Sweep
    assert [name for name in ("resume", "extend", "confirm") if hasattr(SweepResult, name)] == []
    confirmed = made.extend(1, executor="local").confirm(1, 2, executor="local")
    assert (len(confirmed.trials), type(confirmed), type(confirmed.stages[0])) == (2, rb.Sweep, rb.Sweep)
    assert repr(SweepResult(made.path)) == f"<sweep {tmp_path / 's'}: 2 COMPLETE>"


def test_paths_are_taken_at_every_door(tmp_path):
    found = rb.train("parabola", {"steps": 1}, storage=tmp_path, name="run", data=tmp_path, executor="local")
    assert found.spec.data == str(tmp_path)
    made = rb.sweep("parabola", trials=2, config={"steps": 1}, storage=tmp_path, name="old", executor="local")
    again = rb.sweep("parabola", trials=2, config={"steps": 1}, storage=tmp_path, name="new", executor="local",
                     warm_start=tmp_path / "old")  # fmt: skip
    assert again.spec.warm_start == made.path
    assert rb.resume(tmp_path / "new", executor="local", data=None).spec.data is None
