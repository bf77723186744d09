"""The project of the tests is found like any other: by its folder."""

from pathlib import Path

import pytest

from raybayes import catalog


@pytest.fixture(autouse=True, scope="session")
def _parabola():
    catalog.add_root(str(Path(__file__).parent / "projects"))
