"""A registry that differs from the Literal of its field stops the import."""

from typing import Literal

import pytest

from trainables.oneshot.registry import require_same_names

Names = Literal["first", "second"]


def test_equal_names_pass_in_any_order():
    require_same_names("field", Names, {"second": 2, "first": 1})


@pytest.mark.parametrize(
    ("registry", "words"),
    [
        (
            {"first": 1},
            "the field kind and its registry differ: not registered: second; not in the Literal of the field",
        ),
        ({"first": 1, "second": 2, "third": 3}, "not registered: none; not in the Literal of the field: third"),
    ],
)
def test_a_missing_or_surplus_name_is_named(registry, words):
    with pytest.raises(RuntimeError, match=words):
        require_same_names("kind", Names, registry)
