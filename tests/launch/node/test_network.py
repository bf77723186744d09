import pytest

from raybayes.errors import ClusterError
from raybayes.launch.node.network import find_own_address


def test_an_interface_that_is_not_there():
    assert find_own_address("lo", None) == "127.0.0.1"
    with pytest.raises(ClusterError, match=r"interface 'ib9' has no IPv4 address .*; valid interfaces: .*lo 127.0.0.1"):
        find_own_address("ib9", None)
