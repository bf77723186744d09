"""`raybayes submit`, `raybayes jobs list | logs | stop`."""

from __future__ import annotations

import subprocess
import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from raybayes.cli import options

if TYPE_CHECKING:
    from raybayes.launch.jobs.job_source import Jobs

app = typer.Typer(help="Jobs on a cluster: list them, read their output, stop them.", no_args_is_help=True)
Cluster = Annotated[
    Optional[str],  # noqa: UP045
    typer.Option("--cluster", metavar="FILE", help="The cluster file (else RAY_API_SERVER_ADDRESS)."),
]
Job = Annotated[str, typer.Argument(help="The job's id, as `raybayes jobs list` shows it.")]


def submit(
    arguments: Annotated[list[str], typer.Argument(metavar="-- COMMAND ...", help="E.g. -- sweep flows --trials 50")],
    cluster: Cluster = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Follow the job and exit with its exit code.")] = True,
    exclude: Annotated[
        Optional[list[str]],  # noqa: UP045
        typer.Option(metavar="PATTERN", help="Leave out matching files of the working directory; repeatable."),
    ] = None,
    size_limit: Annotated[
        float, typer.Option(metavar="MB", help="Largest size of the working directory that is sent.")
    ] = 100.0,
) -> int:
    """Run a raybayes command on a cluster: as a job of a running one, or as one Slurm job with its own."""
    from raybayes.launch.jobs import submission
    from raybayes.launch.jobs.remote_command import project_of
    from raybayes.spec.sweep_spec import default_name

    _check(arguments)
    jobs, job = submission.submit(
        cluster, arguments, default_name(project_of(arguments)), _say, exclude or (), size_limit
    )
    where = f"--cluster {cluster} " if cluster else ""
    if not wait:
        typer.echo(job)
        _say(f"see raybayes jobs logs {where}--follow {job}")
        return 0
    return _follow(jobs, job, where)


def _check(arguments: list[str]) -> None:
    """Refuse a wrong sweep before it waits in a queue; in a subprocess, which frees its memory."""
    from raybayes.errors import SpecError

    words = arguments[1:] if arguments[:1] == ["raybayes"] else arguments
    if words[:1] != ["sweep"]:
        return
    command = [sys.executable, "-m", "raybayes", *words, "--dry-run"]
    ran = subprocess.run(command, capture_output=True, text=True, check=False)
    if ran.returncode:
        raise SpecError(ran.stderr.strip().removeprefix("raybayes: "))


def _follow(jobs: Jobs, job: str, where: str) -> int:
    from raybayes.errors import Interrupted

    def write(text: str) -> None:
        sys.stdout.write(text)
        sys.stdout.flush()

    try:
        return jobs.follow(job, write)
    except KeyboardInterrupt:
        raise Interrupted(
            f"detached; the job continues. Follow it with: raybayes jobs logs {where}--follow {job}; stop it with: "
            f"raybayes jobs stop {where}{job}"
        ) from None


def _say(text: str) -> None:
    typer.echo(f"{time.strftime('%H:%M:%S')} {text}", err=True)


@app.command("list")
def show_all(cluster: Cluster = None, json: options.Json = False) -> int:
    """List the submitted jobs, newest first."""
    from raybayes.cli.printing import console, plain_table, print_json
    from raybayes.launch.jobs import submission

    lines = submission.list_jobs(cluster)
    if json:
        print_json([asdict(line) for line in lines])
        return 0
    table = plain_table("job", "state", "exit", "started", "command")
    for line in lines:
        started = time.strftime("%m-%d %H:%M", time.localtime(line.started)) if line.started else ""
        code = "" if line.exit_code is None else str(line.exit_code)
        table.add_row(line.id, line.state.lower(), code, started, line.command)
    console().print(table)
    return 0


@app.command()
def logs(
    job: Job,
    cluster: Cluster = None,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Follow until the job ends; exit with its exit code.")
    ] = False,
) -> int:
    """Print the output of a job."""
    from raybayes.launch.jobs import submission

    jobs = submission.find_job(cluster, job)
    if follow:
        return _follow(jobs, job, f"--cluster {cluster} " if cluster else "")
    typer.echo(jobs.logs(job), nl=False)
    return 0


@app.command()
def stop(job: Job, cluster: Cluster = None) -> int:
    """Stop a job; a sweep writes its checkpoints first and can be resumed."""
    from raybayes.launch.jobs import submission

    ran = submission.find_job(cluster, job).stop(job)
    typer.echo(f"{job}: stopping" if ran else f"{job} has already ended")
    return 0
