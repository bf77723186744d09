"""The options of the node program. The start commands of `ray up` files use them too."""

from __future__ import annotations

import argparse

PROGRAM = "raybayes.launch.node"


def build_parser() -> argparse.ArgumentParser:
    """The parser of the node program's command line."""
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Starts, watches and ends one Ray node.")
    role = parser.add_mutually_exclusive_group(required=True)
    role.add_argument("--head", action="store_true", help="start the head")
    role.add_argument("--worker", action="store_true", help="start a worker, once the head answers")
    role.add_argument("--slurm", action="store_true", help="start the head in task 0 of the step, a worker in others")
    role.add_argument("--end", action="store_true", help="end this host's nodes of the cluster")
    parser.add_argument("--folder", required=True, help="the cluster's folder; all nodes must see it")
    parser.add_argument("--nodes", type=int, default=1, help="number of nodes that will join; for readers")
    parser.add_argument("--ip", help="this node's address; default: the one from which the head is reached")
    parser.add_argument("--interface", help="use the address of this network interface")
    parser.add_argument("--scratch", default="/tmp", help="folder on this node for sockets and logs; a short path")
    parser.add_argument("--ports", type=int, nargs=2, default=(20000, 30000), metavar=("FIRST", "LAST"))
    parser.add_argument("--cpus", type=int, help="CPU cores for Ray; default: all that this process may use")
    parser.add_argument("--gpus", type=int, help="GPUs for Ray; default: all that are visible")
    parser.add_argument("--object-store-mb", type=int, help="size of Ray's object store")
    parser.add_argument("--results", help="storage of sweeps that name none")
    parser.add_argument("--autoscaling-config", help="the file that `ray up` leaves on the head")
    parser.add_argument("--join-timeout-s", type=float, default=300, help="seconds to wait for the head")
    parser.add_argument("--detach", action="store_true", help="return once the node is up")
    return parser
