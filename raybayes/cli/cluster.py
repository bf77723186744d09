"""`raybayes cluster check | render | up | status | down`."""

from __future__ import annotations

import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from raybayes.cli import options

if TYPE_CHECKING:
    from raybayes.launch.interface import Launcher, Status

app = typer.Typer(help="Ray clusters from YAML files: Slurm, hosts with ssh, this machine.", no_args_is_help=True)
File = Annotated[str, typer.Argument(metavar="FILE", help="A cluster file, e.g. cluster/slurm_cpu.yaml.")]


def _launcher(file: str) -> Launcher:
    from raybayes.launch.config.cluster_spec import read_cluster
    from raybayes.launch.registry import launcher_for

    return launcher_for(read_cluster(file), file)


def _say(text: str) -> None:
    typer.echo(f"{time.strftime('%H:%M:%S')} {text}", err=True)


@app.command()
def check(file: File, json: options.Json = False) -> int:
    """Check everything that can be checked before a cluster is started; starts nothing."""
    from raybayes.cli.printing import print_json

    findings = _launcher(file).check()
    if json:
        print_json([asdict(finding) for finding in findings])
    else:
        for finding in findings:
            typer.echo(f"{finding.level:8}{finding.text}")
    return 2 if any(finding.level == "error" for finding in findings) else 0


@app.command()
def render(file: File) -> int:
    """Print the batch script, command or manifest that `up` uses."""
    typer.echo(_launcher(file).render(), nl=False)
    return 0


@app.command()
def up(file: File, json: options.Json = False) -> int:
    """Start the cluster and wait until all nodes have joined."""
    launcher = _launcher(file)
    began = time.monotonic()
    status = launcher.up(_say)
    _say(f"up after {time.monotonic() - began:.1f} s")
    _print(status, launcher, file, json)
    return 0


@app.command()
def status(file: File, json: options.Json = False) -> int:
    """Show the state of the cluster; exit code 3 if it is not up."""
    launcher = _launcher(file)
    found = launcher.status()
    _print(found, launcher, file, json)
    return 0 if found.state == "up" else 3


@app.command()
def down(file: File) -> int:
    """End the cluster: what `up` started and nothing else."""
    left = _launcher(file).down(_say)
    for each in left:
        typer.echo(f"left: {each}")
    if not left:
        typer.echo("down; nothing is left")
    return 3 if left else 0


def _print(status: Status, launcher: Launcher, file: str, json: bool) -> None:
    from raybayes.cli.printing import print_json

    if json:
        print_json({**asdict(status), "token": str(launcher.folder.token)})
        return
    typer.echo(f"{status.state}{f': {status.detail}' if status.detail else ''}")
    names = f": {', '.join(status.hosts)}" if status.hosts else ""
    typer.echo(f"nodes      {len(status.hosts)} of {status.wanted}{names}")
    if status.head is None:
        return
    head = status.head
    typer.echo(f"resources  {status.cpus:g} CPUs, {status.gpus:g} GPUs")
    typer.echo(f"address    {head.address}")
    typer.echo(f"dashboard  {head.dashboard} (token: {launcher.folder.token})")
    typer.echo(f"tunnel     ssh -N -L 8265:{head.ip}:{head.dashboard_port} {head.host}   then http://localhost:8265")
    typer.echo(f"submit     raybayes submit --cluster {file} -- sweep PROJECT ...")
