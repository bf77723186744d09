"""What becomes of a sweep.yaml of an older schema, patch by patch."""

import pytest

from raybayes.errors import StoreError
from raybayes.store import schema
from raybayes.store.schema import SCHEMA, require_readable, up_to_date


@pytest.mark.parametrize(
    ("patch", "before", "after"),
    [
        (
            "flatten_resources",
            {"a": 1, "resources": {"workers": 2, "cpus_per_worker": 1.0}, "z": 2},
            {"a": 1, "workers": 2, "cpus_per_worker": 1.0, "z": 2},
        ),
        (
            "flatten_checkpoints",
            {"checkpoints": {"keep": 3, "every_s": 0.0}},
            {"keep_checkpoints": 3, "checkpoint_every": 0.0},
        ),
        (
            "flatten_reuse",
            {"reuse": {"trials": 1, "growth_gib": 2.0}},
            {"isolate": True, "process_growth_gib": 2.0},
        ),
        (
            "flatten_reuse",
            {"reuse": {"trials": 7, "growth_gib": 3.0}},
            {"isolate": False, "trials_per_process": 7, "process_growth_gib": 3.0},
        ),
        ("flatten_reuse", {"reuse": {"growth_gib": 3.0}}, {"process_growth_gib": 3.0}),
        (
            "rename_times",
            {"time_budget_s": 60.0, "report_limit_s": None},
            {"time_budget": 60.0, "report_timeout": None},
        ),
        ("rename_failed_limit", {"failed_limit": 0.5}, {"max_failed_fraction": 0.5}),
        ("rename_narrow", {"narrow": {"method": "plain"}}, {"fixed_params": {"method": "plain"}}),
        (
            "rename_grace",
            {"scheduler": {"name": "asha", "options": {"eta": 4, "grace": 2}}},
            {"scheduler": {"name": "asha", "options": {"eta": 4, "grace_period": 2}}},
        ),
    ],
)
def test_a_patch_says_the_same_in_the_words_of_today(patch, before, after):
    found = getattr(schema, patch)(before)
    assert (found, list(found)) == (after, list(after))
    assert getattr(schema, patch)({"other": 1}) == {"other": 1}, "what is not there is not invented"
    assert up_to_date(before, 1) == after
    assert up_to_date(after, SCHEMA) == after


@pytest.mark.parametrize("found", [0, True, "1", None])
def test_a_number_that_is_no_schema_is_refused(found):
    with pytest.raises(StoreError, match="reads 1 to 2"):
        require_readable("here", found)


def test_every_older_schema_has_its_patch():
    assert len(schema.PATCHES) == SCHEMA - 1
    for number in range(1, SCHEMA + 1):
        require_readable("here", number)
