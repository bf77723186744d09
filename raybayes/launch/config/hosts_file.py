"""`ray up` files for machines with ssh (provider `local`), checked more strictly than Ray checks them.

Ray accepts unknown provider keys, a head that is its own worker and workers that are named twice, and reports wrong
types as bare Python errors; all of these are refused here, with the line.
"""

from __future__ import annotations

import ipaddress
import re
import shlex
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from raybayes.launch.node.options import PROGRAM
from raybayes.spec.validation import Frozen


def _require_plain_name(value: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}", value):
        raise ValueError("use at most 40 letters, digits, '_' and '-', and start with a letter or digit")
    return value


ClusterName = Annotated[str, AfterValidator(_require_plain_name)]


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
                    raise ValueError(f"{address!r} is neither an IP address nor a host name") from None
        return value

    @model_validator(mode="after")
    def _each_once(self) -> Provider:
        hosts = [self.head_ip, *self.worker_ips]
        twice = sorted({host for host in hosts if hosts.count(host) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)} is named more than once; each host is either the head or one worker")
        return self


class Auth(Frozen):
    """How to log in to them."""

    ssh_user: str
    ssh_private_key: str | None = None
    ssh_proxy_command: str | None = None


class HostsFile(Frozen):
    """The keys that a `ray up` file for machines with ssh may have."""

    cluster_name: ClusterName
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

    @model_validator(mode="after")
    def _all_workers(self) -> HostsFile:
        hosts = len(self.provider.worker_ips)
        if not self.min_workers == self.max_workers == hosts:
            raise ValueError(
                f"min_workers {self.min_workers} and max_workers {self.max_workers}: there are {hosts} worker_ips, "
                f"and a cluster of fixed machines starts all of them; set both to {hosts}"
            )
        return self

    @model_validator(mode="after")
    def _safe_commands(self) -> HostsFile:
        for key in ("head_start_ray_commands", "worker_start_ray_commands"):
            role = key.partition("_")[0]
            if problem := find_start_problem(getattr(self, key), role):
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

    def start_words(self, role: Literal["head", "worker"]) -> list[str]:
        """The words of the command that starts a node in this role."""
        commands = self.head_start_ray_commands if role == "head" else self.worker_start_ray_commands
        return shlex.split(next(line for line in commands if PROGRAM in line))

    def option(self, name: str) -> str | None:
        """The value of an option in the head's start command; None if it is not there."""
        words = self.start_words("head")
        return words[words.index(name) + 1] if name in words[:-1] else None

    @property
    def python(self) -> str:
        """The interpreter on the hosts."""
        words = self.start_words("head")
        return words[words.index("-m") - 1]

    @property
    def folder(self) -> Path:
        """The folder of the cluster's token, addresses and logs."""
        return Path(self.option("--folder") or "").expanduser()


def find_start_problem(commands: tuple[str, ...], role: str) -> str | None:
    """What is dangerous or missing in the commands that start Ray on a host; None if nothing is."""
    text = "\n".join(commands)
    if re.search(r"\bray\s+stop\b", text):
        return "`ray stop` ends every Ray of this user on the host, other clusters included; remove it"
    if PROGRAM not in text:
        auth = "" if "RAY_AUTH_MODE=token" in text else ", token authentication on this node (RAY_AUTH_MODE=token)"
        return (
            f"start Ray with `/abs/python -m {PROGRAM} --{role} ...` as in cluster/hosts.yaml: a plain `ray "
            f"start` lacks a private temporary folder, free ports and a clean end{auth}"
        )
    words = shlex.split(next(line for line in commands if PROGRAM in line))
    if f"--{role}" not in words:
        return f"the command of the {role} must contain --{role}"
    if "-m" not in words or not words[words.index("-m") - 1].startswith("/"):
        return "write the absolute path of the interpreter: `python` may not be on the PATH of a login shell"
    if "--folder" not in words[:-1] or not re.match(r"[/~]", words[words.index("--folder") + 1]):
        return "set --folder to the absolute path of a folder that all hosts see"
    if role == "head" and "--autoscaling-config" not in words:
        return "add --autoscaling-config ~/ray_bootstrap_config.yaml to the head's command; without it no worker starts"
    return None
