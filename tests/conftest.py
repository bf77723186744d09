"""What every test starts with: the projects written for tests are in the catalogue."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from raybayes import catalog
from raybayes.engine.on_ray.connect import Cluster, connect
from raybayes.spec.sweep_spec import Resources

# A busy machine must not fail a property by its clock; the number of examples keeps the whole run short.
settings.register_profile("raybayes", deadline=None, max_examples=30)
settings.load_profile("raybayes")


def group_of(item: pytest.Item) -> str:
    """Which tests share a process under `pytest -n 3 --dist loadgroup`.

    Two processes start Ray, because a third one at the same time would starve the others: one that starts it once
    for all tests that ask for `ray_cluster`, one for the tests that start their own. Of the rest, each file is a
    group; where each parameter (a project, a page) costs as much as a file, so is each parameter.
    """
    if item.get_closest_marker("ray"):
        return "shared ray" if "ray_cluster" in getattr(item, "fixturenames", ()) else "own ray"
    file, _, name = item.nodeid.partition("::")
    return f"{file} {name.partition('[')[2]}" if file.startswith(("tests/contract/", "tests/docs/")) else file


@pytest.hookimpl(tryfirst=True)  # before xdist reads the groups
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long groups first, so that the third process does all else meanwhile."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group(group_of(item)))
    items.sort(key=lambda item: item.get_closest_marker("ray") is None)


@pytest.fixture(autouse=True, scope="session")
def _test_projects() -> None:
    catalog.add_root(str(Path(__file__).parent / "projects"))


@pytest.fixture(autouse=True)
def _catalogue(_test_projects: None) -> Iterator[None]:
    """Projects that a test adds leave the catalogue with it, and their modules with them."""
    packages = [importlib.import_module(name) for name in ("trainables", "search_spaces")]
    before = {package: list(package.__path__) for package in packages}
    yield
    for package, paths in before.items():
        added = [Path(path) for path in package.__path__ if path not in paths]
        package.__path__[:] = paths
        for name in [name for name in sys.modules if name.startswith(f"{package.__name__}.")]:
            file = getattr(sys.modules[name], "__file__", None)
            if file and any(Path(file).is_relative_to(folder) for folder in added):
                del sys.modules[name]


@pytest.fixture(scope="session")
def ray_cluster() -> Iterator[Cluster]:
    """One Ray for all tests of a process that ask for it: starting it is what costs."""
    with connect(Resources()) as cluster:
        assert isinstance(cluster, Cluster)
        yield cluster
