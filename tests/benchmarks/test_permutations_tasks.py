"""Every run of the task benchmarks can be configured, and typed as the printed command."""

import pytest

from benchmarks.permutations_tasks.__main__ import PARTS, command
from raybayes import catalog


@pytest.mark.parametrize("part", PARTS)
def test_every_run_can_be_configured_and_typed(part):
    project = catalog.load_project("permutations")
    for settings in PARTS[part]():
        config = catalog.configure(project, settings)
        assert config.updates > 0
        typed = dict(word.split("=") for word in command(settings).split() if "=" in word)
        assert catalog.configure(project, {key: _value(text) for key, text in typed.items()}) == config


def _value(text):
    if text in ("true", "false"):
        return text == "true"
    try:
        return float(text) if "." in text else int(text)
    except ValueError:
        return text
