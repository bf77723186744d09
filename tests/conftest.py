"""What every test starts with: the projects written for tests are in the catalogue."""

from pathlib import Path

import pytest
from hypothesis import settings

from raybayes import catalog

# A busy machine must not fail a property by its clock; the number of examples keeps the whole run short.
settings.register_profile("raybayes", deadline=None, max_examples=30)
settings.load_profile("raybayes")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What must share a process under `pytest -n`: the tests with Ray, the tests of a file, those of one project."""
    for item in items:
        project = getattr(item, "callspec", None) and item.callspec.params.get("project")
        group = "ray" if item.get_closest_marker("ray") else f"{item.path.name} {project or ''}".strip()
        item.add_marker(pytest.mark.xdist_group(group))


@pytest.fixture(autouse=True, scope="session")
def _test_projects() -> None:
    catalog.add_root(str(Path(__file__).parent / "projects"))
