"""A block of free ports for one node: derived from the cluster's id, probed, and leased while the node lives."""

from __future__ import annotations

import hashlib
import socket
from dataclasses import dataclass

from raybayes.errors import ClusterError

SERVICES = (
    "port",
    "node-manager-port",
    "object-manager-port",
    "runtime-env-agent-port",
    "dashboard-agent-grpc-port",
    "dashboard-agent-listen-port",
    "metrics-export-port",
    "ray-client-server-port",
    "dashboard-port",
    "autoscaler-metrics",
    "dashboard-metrics",
)
_WORKERS_FROM = 20
_MAX_TRIED = 64  # blocks


@dataclass(frozen=True)
class PortBlock:
    """Consecutive ports: the first holds the lease, eleven belong to Ray's services, from the 20th on to workers."""

    first: int
    size: int

    def service(self, name: str) -> int:
        """The port of one of Ray's services."""
        return self.first + 1 + SERVICES.index(name)

    @property
    def workers(self) -> tuple[int, int]:
        """First and last port of worker processes."""
        return self.first + _WORKERS_FROM, self.first + self.size - 1


def block_size(cpus: int) -> int:
    """Ports that a node needs: Ray runs one process per core and keeps spare ones; drivers and jobs need more."""
    return -(-(_WORKERS_FROM + 60 + 4 * cpus) // 20) * 20


def candidate_blocks(low: int, high: int, size: int, key: str) -> list[PortBlock]:
    """Blocks in [low, high] in the order in which they are tried; the first one depends only on the key."""
    count = (high - low + 1) // size
    start = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
    return [PortBlock(low + (start + i) % count * size, size) for i in range(min(count, _MAX_TRIED))]


class PortLease:
    """A block of ports that no other raybayes cluster on this machine can take until `release`.

    Args:
        low, high: the range to choose from.
        cpus: cores of the node.
        key: determines the block that is tried first: the cluster's id and the node's number.

    Raises:
        ClusterError: no block is free, or the range is too small for one.
    """

    def __init__(self, low: int, high: int, cpus: int, key: str) -> None:
        size = block_size(cpus)
        blocks = candidate_blocks(low, high, size, key) if high - low + 1 >= size else []
        for block in blocks:
            listener = _try_to_listen(block.first)
            if listener is None:
                continue
            if all(_is_free(port) for port in range(block.first + 1, block.first + block.size)):
                self.block, self._listener = block, listener
                return
            listener.close()
        reason = f"all {len(blocks)} blocks that were tried are in use" if blocks else "it is too small for one block"
        raise ClusterError(
            f"ports {low} to {high}: a node with {cpus} CPUs needs {size} free ports in a row, and {reason} on "
            f"{socket.gethostname()}; give `ports` another range."
        )

    def release(self) -> None:
        """Let other nodes take the block."""
        self._listener.close()


def _try_to_listen(port: int) -> socket.socket | None:
    listener = socket.socket()
    try:
        listener.bind(("", port))
        listener.listen(1)
    except OSError:
        listener.close()
        return None
    return listener


def _is_free(port: int) -> bool:
    listener = _try_to_listen(port)
    if listener is not None:
        listener.close()
    return listener is not None
