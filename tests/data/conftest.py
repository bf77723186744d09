"""Every test of data starts without the variables and caches of whoever runs it."""

from pathlib import Path

import pytest


@pytest.fixture
def cache(monkeypatch, tmp_path) -> Path:
    """An empty user cache, and no RAYBAYES_DATA; the folder where the cache would be."""
    monkeypatch.delenv("RAYBAYES_DATA", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    return tmp_path / "xdg" / "raybayes" / "data"
