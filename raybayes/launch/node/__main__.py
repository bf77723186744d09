"""The node program: `python -m raybayes.launch.node --folder DIR --head|--worker|--slurm`."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from pathlib import Path

from raybayes.errors import ClusterError
from raybayes.launch.cluster_paths import ClusterFolder
from raybayes.launch.node.detached import start_detached
from raybayes.launch.node.options import build_parser
from raybayes.launch.node.supervisor import NodeSupervisor
from raybayes.launch.node.teardown import end_nodes_here


def main(arguments: Sequence[str]) -> int:
    """Start or end a node; what it cannot do is printed, and written into the cluster's folder for the launcher."""
    options = build_parser().parse_args(arguments)
    folder = ClusterFolder(Path(options.folder).expanduser())
    os.umask(0o077)
    try:
        if options.end:
            return end_nodes_here(folder)
        if options.detach:
            return start_detached(options, folder, arguments)
        return NodeSupervisor(options, folder).run()
    except ClusterError as error:
        print(f"{socket.gethostname()}: {error}", file=sys.stderr, flush=True)
        folder.write_refusal(socket.gethostname(), str(error))
        return error.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
