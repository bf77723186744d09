"""The nodes that have joined: the head reads them from Ray and publishes them in the cluster's folder."""

from __future__ import annotations

import time

from raybayes.engine.on_ray.ray_internals import NodeTable
from raybayes.launch.cluster_paths import ClusterFolder, Head, Joined, write_json
from raybayes.launch.node.network import is_listening

_REFRESH_S = 5.0  # largest age of the published list while nothing changes


class Membership:
    """Publishes the head's address once it answers, then the list of living nodes whenever it changes.

    Args:
        head: this node.
        folder: the cluster's.
        table: reads the living nodes from Ray.
    """

    def __init__(self, head: Head, folder: ClusterFolder, table: NodeTable) -> None:
        self._head, self._folder, self._table = head, folder, table
        self._announced = False
        self._last: Joined | None = None

    def publish(self) -> None:
        """Read the nodes from Ray, and write them if they changed or the last list is old."""
        if not self._announced:
            if not is_listening(self._head.ip, self._head.port):
                return
            write_json(self._folder.head, self._head)
            self._announced = True
        current = self._read_joined()
        last = self._last
        if last is None or last.hosts != current.hosts or current.updated - last.updated >= _REFRESH_S:
            self._last = current
            write_json(self._folder.joined, current)

    def _read_joined(self) -> Joined:
        nodes = self._table.read_living()
        cpus, gpus = (sum((node.resources.get(kind, 0.0) for node in nodes), 0.0) for kind in ("CPU", "GPU"))
        return Joined(time.time(), tuple(sorted(node.host for node in nodes)), cpus, gpus)
