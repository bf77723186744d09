import socket

import pytest

from raybayes.errors import ClusterError
from raybayes.launch.node.ports import SERVICES, PortBlock, PortLease, block_size, candidate_blocks


def test_no_two_services_and_no_worker_share_a_port():
    block = PortBlock(20000, 100)
    ports = [block.first, *(block.service(name) for name in SERVICES)]
    assert len(set(ports)) == len(ports)
    assert max(ports) < block.workers[0] <= block.workers[1] < 20100


def test_many_cores_get_many_ports():
    assert block_size(1) == 100
    assert block_size(128) >= 128 * 4


def test_candidates_depend_on_the_key_alone_and_stay_in_the_range():
    first = candidate_blocks(20000, 30000, 100, "a")
    assert first == candidate_blocks(20000, 30000, 100, "a")
    assert first[0] != candidate_blocks(20000, 30000, 100, "b")[0]
    assert all(block.first >= 20000 and block.first + block.size - 1 <= 30000 for block in first)


def test_two_clusters_with_one_key_get_different_blocks():
    a, b = PortLease(15000, 15999, 1, "same"), PortLease(15000, 15999, 1, "same")
    assert a.block != b.block
    a.release()
    b.release()


def test_a_block_with_one_foreign_listener_is_passed_over():
    wanted = PortLease(16000, 16999, 1, "key")
    wanted.release()
    with socket.socket() as other:
        other.bind(("", wanted.block.first + 7))
        other.listen()
        claim = PortLease(16000, 16999, 1, "key")
        assert claim.block != wanted.block
        claim.release()


def test_a_range_that_is_taken_or_too_small():
    holder = PortLease(17000, 17099, 1, "key")
    with pytest.raises(ClusterError, match=r"ports 17000 to 17099: .* all 1 blocks that were tried are in use"):
        PortLease(17000, 17099, 1, "key")
    holder.release()
    with pytest.raises(ClusterError, match="too small for one block"):
        PortLease(17000, 17050, 1, "key")
