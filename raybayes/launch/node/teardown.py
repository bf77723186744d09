"""How a cluster's nodes on this host are ended from outside, and what `ray up` leaves on it is removed."""

from __future__ import annotations

import contextlib
import getpass
import hashlib
import json
import os
import shutil
import signal
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from raybayes.launch.cluster_paths import ClusterFolder
from raybayes.launch.node import processes
from raybayes.launch.node.reaper import sweep_stale


def end_here(folder: ClusterFolder) -> int:
    """End this host's nodes of a cluster: the supervisor, or, if it is gone, what it left."""
    host, left = socket.gethostname(), []
    for record in [found for found in folder.nodes() if found["host"] == host]:
        left += end_node(record)
    forget_ray_up(folder.path.name)
    print(json.dumps({"host": host, "left": left}), flush=True)
    return 3 if left else 0


def end_node(record: dict[str, Any], patience_s: float = 40.0) -> list[int]:
    """Let a recorded supervisor and its janitor end; what is left then is ended here. Returns what would not die."""
    if processes.same(record["pid"], record["born"]):
        os.kill(record["pid"], signal.SIGTERM)
    deadline = time.monotonic() + patience_s
    while time.monotonic() < deadline:
        if not (processes.same(record["pid"], record["born"]) or _lives(record["janitor"])):
            break
        time.sleep(0.2)
    left = processes.end(record["mark"], record["scratch"])
    sweep_stale(str(Path(record["scratch"]).parent))
    return left


def _lives(janitor: Sequence[float]) -> bool:
    return processes.same(int(janitor[0]), janitor[1])


def forget_ray_up(cluster: str) -> None:
    """Remove what `ray up` of a cluster leaves on the launching machine and on the head; among it a private key."""
    user, name = (hashlib.sha256(text.encode()).hexdigest()[:10] for text in (getpass.getuser(), cluster))
    sockets = Path(f"/tmp/ray_ssh_{user}")
    shutil.rmtree(sockets / name, ignore_errors=True)
    with contextlib.suppress(OSError):
        sockets.rmdir()  # other clusters of this user may have theirs in it
    home = Path.home()
    config = home / "ray_bootstrap_config.yaml"
    with contextlib.suppress(OSError):
        if f"cluster_name: {cluster}\n" in config.read_text(encoding="utf-8").replace('"', "").replace(",", "\n"):
            (home / "ray_bootstrap_key.pem").unlink(missing_ok=True)
            config.unlink()
    for suffix in ("state", "lock"):
        with contextlib.suppress(OSError):
            (Path(os.environ.get("RAY_TMPDIR", "/tmp")) / "ray" / f"cluster-{cluster}.{suffix}").unlink()
