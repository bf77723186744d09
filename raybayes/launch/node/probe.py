"""Reports on a host before Ray is started on it: `python -m raybayes.launch.node.probe`."""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import sys
from importlib.metadata import version
from pathlib import Path

from raybayes.errors import ClusterError
from raybayes.launch.node import checks
from raybayes.launch.node.ports import PortLease


def probe_host(folder: Path, nonce: str, scratch: str, low: int, high: int) -> dict[str, object]:
    """Report the versions, and the problems that only this host can find.

    Args:
        folder: the cluster's folder, which this host must see.
        nonce: name of a file that the launcher has just written there.
        scratch: folder on this host for sockets and logs.
        low, high: range of ports.

    Returns:
        host, python, ray, and `findings`: level and text of each warning and error.
    """
    findings = [checks.check_socket_paths(scratch), checks.check_open_files()]
    try:
        os.listdir(folder)
        seen = (folder / nonce).exists()
    except OSError:
        seen = False
    if not seen:
        text = (
            f"{folder} is not shared: this host does not see a file that was just written there; use a folder on NFS "
            "or another shared disk."
        )
        findings.append(checks.Finding("error", text))
    if not os.access(scratch, os.W_OK):
        findings.append(checks.Finding("error", f"scratch {scratch}: missing or not writable."))
    try:
        PortLease(low, high, len(os.sched_getaffinity(0)), nonce).release()
    except ClusterError as error:
        findings.append(checks.Finding("error", str(error)))
    return {
        "host": socket.gethostname(),
        "python": platform.python_version(),
        "ray": version("ray"),
        "findings": [vars(finding) for finding in findings if finding.level != "ok"],
    }


def main() -> int:
    """Print the report as one line of JSON."""
    parser = argparse.ArgumentParser(prog="raybayes.launch.node.probe", description=__doc__)
    parser.add_argument("--folder", required=True)
    parser.add_argument("--nonce", required=True)
    parser.add_argument("--scratch", required=True)
    parser.add_argument("--ports", type=int, nargs=2, required=True)
    options = parser.parse_args()
    print(json.dumps(probe_host(Path(options.folder).expanduser(), options.nonce, options.scratch, *options.ports)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
