"""A cluster-launcher file of Ray for machines with ssh (provider `local`), checked more strictly than `ray up` does.

Ray accepts unknown provider keys, a head that is its own worker and workers that are named twice, and it answers
wrong types with bare Python errors; all of these are found here, with the line.
"""

from __future__ import annotations

import ipaddress
import re
import shlex
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, field_validator, model_validator

from raybayes.spec.validation import Frozen

NODE_PROGRAM = "raybayes.launch.node"


class Provider(Frozen):
    """The machines."""

    type: Literal["local"]
    head_ip: str
    worker_ips: tuple[str, ...] = ()

    @field_validator("head_ip", "worker_ips")
    @classmethod
    def _addresses(cls, value: Any) -> Any:
        for address in [value] if isinstance(value, str) else value:
            try:
                ipaddress.ip_address(address)
            except ValueError:
                if not re.fullmatch(r"[A-Za-z]([A-Za-z0-9.-]*[A-Za-z0-9])?", address):
                    raise ValueError(f"{address!r} is neither an address nor a host name") from None
        return value

    @model_validator(mode="after")
    def _each_once(self) -> Provider:
        hosts = [self.head_ip, *self.worker_ips]
        twice = sorted({host for host in hosts if hosts.count(host) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} is named more than once; each host is the head or one worker")
        return self


class Auth(Frozen):
    """How to reach them."""

    ssh_user: str
    ssh_private_key: str | None = None
    ssh_proxy_command: str | None = None


class HostsFile(Frozen):
    """The keys of a `ray up` file that machines with ssh need."""

    cluster_name: str
    provider: Provider
    auth: Auth
    min_workers: int = Field(0, ge=0)
    max_workers: int = Field(0, ge=0)
    upscaling_speed: float = Field(1.0, ge=0)
    idle_timeout_minutes: int = Field(5, ge=0)
    file_mounts: dict[str, str] = Field(default_factory=dict)
    cluster_synced_files: tuple[str, ...] = ()
    file_mounts_sync_continuously: bool = False
    rsync_exclude: tuple[str, ...] = ()
    rsync_filter: tuple[str, ...] = ()
    initialization_commands: tuple[str, ...] = ()
    setup_commands: tuple[str, ...] = ()
    head_setup_commands: tuple[str, ...] = ()
    worker_setup_commands: tuple[str, ...] = ()
    head_start_ray_commands: tuple[str, ...] = Field(min_length=1)
    worker_start_ray_commands: tuple[str, ...] = Field(min_length=1)

    @field_validator("cluster_name")
    @classmethod
    def _plain_name(cls, value: str) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", value):
            raise ValueError("a name has letters, digits, '_' and '-' only, at most 40, and no '-' in front")
        return value

    @model_validator(mode="after")
    def _all_workers(self) -> HostsFile:
        hosts = len(self.provider.worker_ips)
        if not self.min_workers == self.max_workers == hosts:
            raise ValueError(
                f"min_workers {self.min_workers} and max_workers {self.max_workers}: there are {hosts} worker_ips, "
                f"and a cluster of fixed machines starts all of them; write {hosts} for both"
            )
        return self

    @model_validator(mode="after")
    def _safe_commands(self) -> HostsFile:
        for key in ("head_start_ray_commands", "worker_start_ray_commands"):
            role = key.partition("_")[0]
            if problem := start_problem(getattr(self, key), role):
                raise ValueError(f"{key}: {problem}")
        return self

    @property
    def name(self) -> str:
        """The cluster's name."""
        return self.cluster_name

    @property
    def hosts(self) -> tuple[str, ...]:
        """Every machine, the head first."""
        return self.provider.head_ip, *self.provider.worker_ips

    def start_line(self, role: Literal["head", "worker"]) -> list[str]:
        """The words of the command that starts a node."""
        commands = self.head_start_ray_commands if role == "head" else self.worker_start_ray_commands
        return shlex.split(next(line for line in commands if NODE_PROGRAM in line))

    def option(self, name: str) -> str | None:
        """The value of an option in the head's start command."""
        words = self.start_line("head")
        return words[words.index(name) + 1] if name in words[:-1] else None

    @property
    def python(self) -> str:
        """The interpreter on the hosts."""
        words = self.start_line("head")
        return words[words.index("-m") - 1]

    @property
    def folder(self) -> Path:
        """Where the cluster keeps its token, addresses and logs."""
        return Path(self.option("--folder") or "").expanduser()


def start_problem(commands: tuple[str, ...], role: str) -> str | None:
    """What is dangerous or missing in the commands that start Ray on a host."""
    text = "\n".join(commands)
    if re.search(r"\bray\s+stop\b", text):
        return "`ray stop` ends every Ray of this user on the host, other clusters included; take it out"
    if NODE_PROGRAM not in text:
        auth = "" if "RAY_AUTH_MODE=token" in text else ", token authentication on this node (RAY_AUTH_MODE=token)"
        return (
            f"start Ray with `/abs/python -m {NODE_PROGRAM} --{role} ...` as in cluster/hosts.yaml: a plain `ray "
            f"start` lacks a private temp folder, free ports and a clean end{auth}"
        )
    words = shlex.split(next(line for line in commands if NODE_PROGRAM in line))
    if f"--{role}" not in words:
        return f"the {role}'s command needs --{role}"
    if "-m" not in words or not words[words.index("-m") - 1].startswith("/"):
        return "name the interpreter by its absolute path: `python` may be missing on the PATH of a login shell"
    if "--folder" not in words[:-1] or not re.match(r"[/~]", words[words.index("--folder") + 1]):
        return "--folder needs the absolute path of a folder that all hosts see"
    if role == "head" and "--autoscaling-config" not in words:
        return "the head needs --autoscaling-config ~/ray_bootstrap_config.yaml, or it starts no workers"
    return None
