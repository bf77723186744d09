"""What a host says of itself before Ray is started on it: `python -m raybayes.launch.node.probe`."""

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


def look(folder: Path, nonce: str, scratch: str, low: int, high: int) -> dict[str, object]:
    """Versions, and the findings that only this host can make."""
    findings = [checks.socket_paths(scratch), checks.open_files()]
    try:
        os.listdir(folder)
        seen = (folder / nonce).exists()
    except OSError:
        seen = False
    if not seen:
        text = f"{folder} is not shared: a file that was just written is not seen here; put the folder on NFS or alike."
        findings.append(checks.Finding("error", text))
    if not os.access(scratch, os.W_OK):
        findings.append(checks.Finding("error", f"scratch {scratch} is missing or cannot be written."))
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
    own = argparse.ArgumentParser(prog="raybayes.launch.node.probe", description=__doc__)
    own.add_argument("--folder", required=True)
    own.add_argument("--nonce", required=True)
    own.add_argument("--scratch", required=True)
    own.add_argument("--ports", type=int, nargs=2, required=True)
    given = own.parse_args()
    print(json.dumps(look(Path(given.folder).expanduser(), given.nonce, given.scratch, *given.ports)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
