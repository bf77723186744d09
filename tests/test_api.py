"""The Python door refuses what can never be before anything is written."""

import pytest

import raybayes as rb
from raybayes.engine.on_ray import connect
from raybayes.errors import ResourceError


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
