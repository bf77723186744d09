"""The head's view of who has joined: looked up in Ray, written to the cluster's folder when it changes."""

from __future__ import annotations

import time
from typing import Any

from raybayes.launch.cluster_paths import ClusterFolder, Head, Joined, write_json
from raybayes.launch.node.network import answers

_SEEN_EVERY_S = 5.0  # how old the list of nodes may be, when nothing changes


class Membership:
    """The head's view of who has joined, written to the folder when it changes."""

    def __init__(self, head: Head, folder: ClusterFolder) -> None:
        self._head, self._folder = head, folder
        self._announced = False
        self._client: Any = None
        self._last: Joined | None = None

    def take(self) -> None:
        """Look, and write down what is new."""
        if not self._announced:
            if not answers(self._head.ip, self._head.port):
                return
            write_json(self._folder.head, vars(self._head))
            self._announced = True
        hosts, cpus, gpus = self._alive()
        now = time.time()
        last = self._last
        if last is None or last.hosts != hosts or now - last.updated >= _SEEN_EVERY_S:
            self._last = Joined(now, hosts, cpus, gpus)
            write_json(self._folder.joined, vars(self._last))

    def _alive(self) -> tuple[tuple[str, ...], float, float]:
        import ray._raylet  # its client and not `ray.init`, which would be one more driver on the cluster
        from ray.exceptions import RpcError

        try:
            self._client = self._client or ray._raylet.GcsClient(address=self._head.address)
            found = self._client.get_all_node_info(timeout=2.0).values()
        except (RpcError, RuntimeError):  # the next look will tell; if the GCS is gone, `ray start` ends
            return (), 0.0, 0.0
        alive = [node for node in found if node.state == 0]
        total = {name: sum(node.resources_total.get(name, 0.0) for node in alive) for name in ("CPU", "GPU")}
        return tuple(sorted(node.node_manager_hostname for node in alive)), total["CPU"], total["GPU"]
