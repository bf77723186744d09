"""Runs one command on one host over ssh, and explains a failure in one sentence."""

from __future__ import annotations

import shlex
import subprocess
from collections.abc import Sequence
from pathlib import Path

from raybayes.errors import ClusterError
from raybayes.launch.config.hosts_file import Auth

_CONNECT_S = 8


def ssh_command(auth: Auth, host: str, words: Sequence[str]) -> list[str]:
    """The `ssh` command that runs a command on a host; it never asks for a password."""
    command = ["ssh", "-o", "BatchMode=yes", "-o", f"ConnectTimeout={_CONNECT_S}", "-o", "LogLevel=ERROR"]
    command += ["-o", "StrictHostKeyChecking=accept-new"]
    if auth.ssh_private_key is not None:
        command += ["-i", str(Path(auth.ssh_private_key).expanduser()), "-o", "IdentitiesOnly=yes"]
    if auth.ssh_proxy_command is not None:
        command += ["-o", f"ProxyCommand={auth.ssh_proxy_command}"]
    # The host expands a leading ~, so it must reach the host's shell unquoted.
    line = " ".join("~" + shlex.quote(w[1:]) if w.startswith("~/") else shlex.quote(w) for w in words)
    return [*command, f"{auth.ssh_user}@{host}", line]


def run_over_ssh(auth: Auth, host: str, words: Sequence[str], timeout_s: float = 60.0) -> str:
    """Run a command on a host and return what it prints.

    Raises:
        ClusterError: the host does not answer, refuses the key, or the command fails there.
    """
    try:
        ran = subprocess.run(
            ssh_command(auth, host, words), capture_output=True, text=True, check=False, timeout=timeout_s
        )
    except FileNotFoundError:
        raise ClusterError("ssh is not on the PATH; install an ssh client.") from None
    except subprocess.TimeoutExpired:
        raise ClusterError(f"{host}: {shlex.join(words)} did not end within {timeout_s:g} s.") from None
    if ran.returncode == 0:
        return ran.stdout
    said = ran.stderr.strip().splitlines() or ran.stdout.strip().splitlines() or ["it printed no reason"]
    if ran.returncode != 255:
        raise ClusterError(f"{host}: {shlex.join(words)[:80]} failed: {said[-1]}")
    if any("Permission denied" in line for line in said):
        key = auth.ssh_private_key or "your default key"
        raise ClusterError(
            f"{host}: ssh as {auth.ssh_user} with {key} is refused; add its .pub to ~/.ssh/authorized_keys there, or "
            "set auth.ssh_private_key to the right key."
        )
    if any("Host key verification failed" in line for line in said):
        raise ClusterError(f"{host}: its host key has changed; if the change is legitimate, run: ssh-keygen -R {host}")
    raise ClusterError(
        f"{host}: does not answer over ssh ({said[-1]}); check that it is up and that its address is right."
    )
