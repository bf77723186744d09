"""What every test starts with: the projects written for tests are in the catalogue."""

from pathlib import Path

import pytest
from hypothesis import settings

from raybayes import catalog

# A busy machine must not fail a property by its clock; the number of examples keeps the whole run short.
settings.register_profile("raybayes", deadline=None, max_examples=30)
settings.load_profile("raybayes")


@pytest.fixture(autouse=True, scope="session")
def _test_projects() -> None:
    catalog.add_root(str(Path(__file__).parent / "projects"))
