"""`raybayes dashboard`: a sweep, or all of a storage, in a browser."""

from __future__ import annotations

import getpass
import secrets
import socket
import webbrowser
from typing import Annotated

import typer


def dashboard(
    path: Annotated[str, typer.Argument(help="Folder or URI of a sweep, or of a storage with many.")],
    port: Annotated[int, typer.Option(help="Port to serve on; 0 chooses a free one.")] = 8080,
    host: Annotated[
        str, typer.Option(help="Address to serve on; 0.0.0.0 accepts connections from the whole network.")
    ] = "127.0.0.1",
    browser: Annotated[bool, typer.Option("--browser", help="Open a browser on this machine.")] = False,
) -> int:
    """Serve Optuna's dashboard, report and figures of a sweep, or of a whole storage, to who has the token it prints.

    It only reads; Ctrl-C stops it.
    """
    from raybayes.sweeps.dashboard import serve, site_of

    token = secrets.token_urlsafe(24)
    with serve(site_of(path), host, port, token) as server:
        taken = server.server_port
        for line in announcement(path, host, taken, token):
            print(line, flush=True)
        if browser:
            print(opened(f"http://{host}:{taken}/?token={token}", taken), flush=True)
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            return 0
    return 0


def announcement(path: str, host: str, port: int, token: str) -> list[str]:
    """The addresses to open."""
    root = f"http://{host}:{port}/"
    return [
        f"{path}: report and figures: {root}?token={token}",
        f"Optuna's dashboard: {root}dashboard/?token={token}",
        f"from another machine: {tunnel(port)}, then the same addresses with localhost",
        f"TensorBoard, if it is installed: tensorboard --logdir {path.rstrip('/')}/tensorboard",
    ]


def tunnel(port: int) -> str:
    """The command that brings the port to a machine with a browser."""
    return f"ssh -L {port}:127.0.0.1:{port} {getpass.getuser()}@{socket.gethostname()}"


def opened(address: str, port: int) -> str:
    """Open a browser, or say how to reach the address from a machine that has one."""
    try:
        if webbrowser.get().open(address):
            return "opened a browser"
    except webbrowser.Error:
        pass
    return f"this machine has no browser; on yours, run {tunnel(port)} and open http://127.0.0.1:{port}/"
