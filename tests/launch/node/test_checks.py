import socket
from pathlib import Path

import pytest

from raybayes.launch.node import checks


def test_the_longest_socket_of_ray_fits_exactly():
    longest = "/" + "x" * (checks.MAX_SOCKET_PATH - checks.SESSION_AND_SOCKET - checks.SCRATCH_FOLDER - 1)
    assert checks.check_socket_paths(longest).level == "ok"
    found = checks.check_socket_paths(longest + "x")
    assert found.level == "error"
    assert "108 bytes, and Linux allows 107; use a folder whose path is 1 bytes shorter" in found.text
    path = f"{longest}/rb1234567-abcdefgh/r/session_2026-01-31_14-25-01_123456_1234567/sockets/dash_MetricsHead"
    with socket.socket(socket.AF_UNIX) as probe, pytest.raises(FileNotFoundError):
        probe.bind(path)
    with socket.socket(socket.AF_UNIX) as probe, pytest.raises(OSError, match="too long"):
        probe.bind(f"x{path}")


def test_a_folder_that_is_not_writable(tmp_path):
    (tmp_path / "file").touch()
    assert checks.check_shared_folder(tmp_path / "a" / "b", "shared", several=False).level == "ok"
    found = checks.check_shared_folder(Path("/proc/none"), "shared", several=True)
    assert found.level == "error"
    assert "not writable on this machine" in found.text


def test_missing_programs():
    found = list(checks.check_commands("no-such-sbatch", why="install it."))
    assert found[0].text.startswith("no-such-sbatch is not on the PATH")


def test_open_files(monkeypatch):
    for limit, level in ((512, "error"), (2048, "warning"), (65536, "ok")):
        monkeypatch.setattr(checks.resource, "getrlimit", lambda _, limit=limit: (limit, limit))
        assert checks.check_open_files().level == level
