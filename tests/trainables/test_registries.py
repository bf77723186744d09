"""Names of a config and the tables that serve them: a gap fails at import, and an unknown name is never served."""

from typing import Literal, get_args

import pytest
import torch

from raybayes.contract import require_entries
from raybayes.errors import SpecError
from trainables.autoregressive import config as autoregressive
from trainables.autoregressive.losses import transformed
from trainables.autoregressive.schedules import rollin_probability
from trainables.flows.layers import log_scale
from trainables.permutations import Config
from trainables.permutations.estimators import BUILDERS

Name = Literal["one", "two"]


def test_a_table_with_an_entry_per_name_is_accepted():
    require_entries(Name, {"one": 1, "two": 2}, "here.py: TABLE")


def test_a_name_without_an_entry_is_refused():
    with pytest.raises(SpecError, match=r"^here\.py: TABLE has no entry for two; add it, or take the name out"):
        require_entries(Name, {"one": 1}, "here.py: TABLE")


def test_an_entry_without_a_name_is_refused():
    with pytest.raises(SpecError, match=r"^here\.py: TABLE has entries that no config can name: three; add them"):
        require_entries(Name, ["one", "two", "three"], "here.py: TABLE")


@pytest.mark.parametrize("name", get_args(Config.model_fields["estimator"].annotation))
def test_every_estimator_has_a_builder_and_facts(name):
    assert name in BUILDERS
    assert Config(estimator=name, samples=2, **({"toy": {"n": 5}} if name == "exact" else {})).traits


@pytest.mark.parametrize(
    "call",
    [
        lambda: log_scale(torch.zeros(1), "linear"),
        lambda: transformed(torch.zeros(1, 2), torch.ones(1, 2).bool(), "squares"),
        lambda: rollin_probability(autoregressive.Config().model_copy(update={"rollin_schedule": "cosine"}), 0),
    ],
)
def test_an_unknown_name_does_not_fall_into_the_last_branch(call):
    with pytest.raises(AssertionError, match="Expected code to be unreachable"):
        call()
