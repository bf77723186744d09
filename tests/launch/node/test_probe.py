import platform
from importlib.metadata import version

import pytest

from raybayes.launch.node.probe import probe_host


@pytest.fixture
def probe(tmp_path):
    """Probes this host, whose folder has the file `nonce`; returns the report and its errors."""
    (tmp_path / "nonce").touch()

    def run(nonce="nonce", scratch="/tmp", low=20000, high=30000):
        report = probe_host(tmp_path, nonce, scratch, low, high)
        return report, [finding["text"] for finding in report["findings"] if finding["level"] == "error"]

    return run


def test_a_host_that_can_be_used_reports_its_versions(probe):
    report, errors = probe()
    assert (report["python"], report["ray"]) == (platform.python_version(), version("ray"))
    assert errors == []


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"nonce": "absent"}, "is not shared: this host does not see a file that was just written there"),
        ({"scratch": "/no/such"}, "scratch /no/such: missing or not writable."),
        ({"low": 30000, "high": 30010}, "too small for one block"),
    ],
)
def test_a_host_that_cannot_be_used_reports_why(probe, changes, words):
    [error] = probe(**changes)[1]
    assert words in error
