"""A burst as a whole: what it says about itself. How it ends: tests/faults/test_interruptions.py."""

from raybayes.engine.run import job_metadata
from raybayes.spec.sweep_spec import SweepSpec
from raybayes.spec.validation import build
from raybayes.store.filesystem import open_storage
from raybayes.store.layout import Layout


def test_a_job_in_rays_dashboard_says_what_it_works_on(tmp_path):
    layout = Layout(open_storage(str(tmp_path)).child("lr-search"))
    spec = build(SweepSpec, {"project": "parabola", "trials": 7, "scheduler": "asha", "name": "lr-search"}, "test")
    said = job_metadata(layout, spec)
    assert said["job_name"] == "raybayes sweep lr-search"
    assert said["raybayes_project"] == "parabola"
    assert said["raybayes_trials"] == "7"
    assert said["raybayes_search"] == "tpe, asha"
    assert all(isinstance(value, str) for value in said.values())  # Ray takes nothing else
