"""One Ray for all tests of this folder: starting it is what costs."""

import pytest

from raybayes.engine.cluster import Cluster, connected
from raybayes.spec import Resources


@pytest.fixture(scope="session")
def ray_cluster():
    with connected(Resources()) as cluster:
        assert isinstance(cluster, Cluster)
        yield cluster
