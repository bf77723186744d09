"""What every project promises on Ray: a trial's numbers do not depend on what its process has trained before."""

import os

import pytest

import raybayes as rb
from raybayes import catalog

catalog.add_root(os.path.join(os.path.dirname(os.path.dirname(__file__)), "projects"))

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]


def content(sweep):
    """All that two sweeps must have in common, bit for bit; as text, so that NaN equals NaN."""
    timed = {metric.name for metric in catalog.load_project(sweep.spec.project).metrics if metric.timing}
    timed |= {"seconds", "cost_seconds", "time", "node"}
    found = {"reports": sweep.reports, **{name: sweep.table(name) for name in sweep.tables}}
    return {
        name: str(table.drop_columns([c for c in table.column_names if c in timed]).to_pylist())
        for name, table in found.items()
    }


# One project shows that the three ways agree; that no project brings a habit that tells them apart takes minutes.
SLOW = [pytest.param(name, marks=() if name == "parabola" else pytest.mark.slow) for name in catalog.project_names()]


@pytest.mark.parametrize("name", SLOW)
def test_a_warm_slot_an_isolated_one_and_this_process_agree_bit_for_bit(name, tmp_path):
    project = catalog.load_project(name)
    wanted = {"trials": 1, "repeats": 2, "config": project.smoke, "storage": str(tmp_path), "concurrency": 1, "seed": 5}
    here = rb.sweep(name, name="here", executor="local", **wanted)
    warm = rb.sweep(name, name="warm", **wanted)
    isolated = rb.sweep(name, name="isolated", isolate=True, **wanted)
    for sweep in (here, warm, isolated):
        assert sweep.trials["state"].to_pylist() == ["COMPLETE"]
    assert len({row["slot"] for row in warm.profile().to_pylist()}) == 1
    assert len({row["slot"] for row in isolated.profile().to_pylist()}) == 2
    assert content(warm) == content(here)
    assert content(isolated) == content(here)
