"""A block of free ports for one node: derived from the cluster's id, probed, and held for the node's life."""

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
_PROBED = 64  # blocks that are tried before giving up


@dataclass(frozen=True)
class Block:
    """Consecutive ports: the first is held as a claim, eleven are Ray's services, from the 20th on workers."""

    first: int
    size: int

    def service(self, name: str) -> int:
        """The port of one of Ray's services."""
        return self.first + 1 + SERVICES.index(name)

    @property
    def workers(self) -> tuple[int, int]:
        """First and last port of worker processes."""
        return self.first + _WORKERS_FROM, self.first + self.size - 1


def size_for(cpus: int) -> int:
    """Ports that a node needs: Ray runs a process a core, keeps spare ones, and drivers and jobs come on top."""
    return -(-(_WORKERS_FROM + 60 + 4 * cpus) // 20) * 20


def candidates(low: int, high: int, size: int, key: str) -> list[Block]:
    """Blocks in [low, high] in the order in which they are tried; the first one depends on the key alone."""
    count = (high - low + 1) // size
    start = int.from_bytes(hashlib.sha256(key.encode()).digest()[:8], "big")
    return [Block(low + (start + i) % count * size, size) for i in range(min(count, _PROBED))]


class PortLease:
    """A block of ports that no other raybayes cluster on this machine can take until `release`.

    Args:
        low, high: the range to choose from.
        cpus: cores of the node.
        key: what the first choice is derived from: the cluster's id and the node's number.

    Raises:
        ClusterError: no block is free, or the range is too small for one.
    """

    def __init__(self, low: int, high: int, cpus: int, key: str) -> None:
        size = size_for(cpus)
        blocks = candidates(low, high, size, key) if high - low + 1 >= size else []
        for block in blocks:
            holder = _bound(block.first)
            if holder is None:
                continue
            taken = [p for p in range(block.first + 1, block.first + block.size) if not _free(p)]
            if not taken:
                self.block, self._holder = block, holder
                return
            holder.close()
        reason = f"all {len(blocks)} blocks that were tried are in use" if blocks else "it is too small for one block"
        raise ClusterError(
            f"ports {low} to {high}: a node with {cpus} CPUs needs {size} free ports in a row, and {reason} on "
            f"{socket.gethostname()}; give `ports` another range."
        )

    def release(self) -> None:
        """Let others have the block."""
        self._holder.close()


def _bound(port: int) -> socket.socket | None:
    holder = socket.socket()
    try:
        holder.bind(("", port))
        holder.listen(1)
    except OSError:
        holder.close()
        return None
    return holder


def _free(port: int) -> bool:
    holder = _bound(port)
    if holder is not None:
        holder.close()
    return holder is not None
