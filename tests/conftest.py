"""What every test starts with: the projects written for tests are in the catalogue."""

import importlib
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from raybayes import catalog
from raybayes.engine.on_ray.connect import Cluster, connected
from raybayes.spec.sweep_spec import Resources

# Tests that start Ray, in two processes of their own: a third Ray at the same time would starve the others.
ON_ONE_RAY = (
    "tests/contract/test_on_ray.py",
    "tests/engine/test_executors.py",
    "tests/engine/on_ray/test_fair_share.py",
    "tests/engine/on_ray/test_tune.py",
)
ON_THEIR_OWN = (
    "tests/faults/test_interruptions.py",
    "tests/faults/test_on_a_cluster.py",
    "tests/faults/test_sharing.py",
    "tests/launch/launchers/test_local.py",
)

# A busy machine must not fail a property by its clock; the number of examples keeps the whole run short.
settings.register_profile("raybayes", deadline=None, max_examples=30)
settings.load_profile("raybayes")


class Together(LoadScopeScheduling):
    """Which tests share a process under `pytest -n`: those that start Ray, those of a file, those of one project."""

    def _split_scope(self, nodeid: str) -> str:
        file, _, name = nodeid.partition("::")
        if file.startswith((*ON_ONE_RAY, *ON_THEIR_OWN)):
            return "one ray" if file.startswith(ON_ONE_RAY) else "rays"
        return f"{file} {name.partition('[')[2]}" if file.startswith("tests/contract/") else file


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long groups first, so that the third process does all else meanwhile."""
    items.sort(key=lambda item: not item.nodeid.startswith((*ON_ONE_RAY, *ON_THEIR_OWN)))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Together:
    return Together(config, log)


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
    with connected(Resources()) as cluster:
        assert isinstance(cluster, Cluster)
        yield cluster
