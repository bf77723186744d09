"""`raybayes projects`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from raybayes.cli import options

if TYPE_CHECKING:
    from raybayes.contract import Project
    from raybayes.space import Space


def projects(
    name: Annotated[str | None, typer.Argument(help="Show this project in full.")] = None,
    json: options.Json = False,
) -> int:
    """List the projects, or show one: its configuration, search spaces, metrics and data sets."""
    from raybayes import catalog
    from raybayes.cli.printing import console, plain_table, print_json

    if name is None:
        found, broken = catalog.load_projects()
        if json:
            rows = [{"name": p.name, "summary": p.summary, "paper": p.paper} for p in found]
            print_json(rows + [{"name": key, "error": reason} for key, reason in broken.items()])
            return 0
        table = plain_table("project", "what it is", "paper")
        for project in found:
            table.add_row(project.name, project.summary, project.paper)
        for key, reason in broken.items():
            table.add_row(key, f"cannot be loaded: {reason}", "")
        console().print(table)
        return 0
    project, spaces = catalog.load_project(name), catalog.load_spaces(name)
    if json:
        print_json(_facts(project, spaces))
    else:
        _print(project, spaces)
    return 0


def _facts(project: Project, spaces: dict[str, Space]) -> dict[str, Any]:
    from raybayes import catalog

    return {
        "name": project.name,
        "summary": project.summary,
        "paper": project.paper,
        "fidelity": project.fidelity,
        "parallel": project.parallel,
        "data": list(project.data),
        "metrics": [vars(metric) for metric in project.metrics],
        "config": catalog.defaults(project),
        "commands": {command.name: command.summary for command in project.commands},
        "spaces": {key: space.describe() for key, space in spaces.items()},
    }


def _print(project: Project, spaces: dict[str, Space]) -> None:
    from raybayes import catalog
    from raybayes.cli.printing import console, plain_table

    out = console()
    out.print(f"[bold]{project.name}[/bold]: {project.summary}")
    out.print(f"paper: {project.paper}", markup=False)
    out.print(
        f"one report per {project.fidelity}; workers share the {project.parallel} (parallel = {project.parallel})",
        markup=False,
    )
    out.print(f"data sets: {', '.join(project.data)}", markup=False)
    metrics = plain_table("metric", "better", "unit", "meaning")
    for i, metric in enumerate(project.metrics):
        metrics.add_row(f"{metric.name} *" if i == 0 else metric.name, metric.direction, metric.unit, metric.doc)
    out.print("\n[bold]metrics[/bold] (* the default objective)")
    out.print(metrics)
    config = plain_table("key", "type", "default", "meaning")
    documented = catalog.documentation(project)
    for key, value in catalog.defaults(project).items():
        kind, meaning = documented[key]
        config.add_row(key, kind, repr(value), meaning)
    out.print("\n[bold]configuration[/bold] (set with -s key=value)")
    out.print(config)
    for command in project.commands:
        out.print(f"\ncommand on a run: raybayes {command.name} {command.inputs}... --run PATH", markup=False)
        out.print(f"{command.summary} (raybayes {command.name} --help)", markup=False)
    for name, space in spaces.items():
        table = plain_table("parameter", "range", "only when")
        for key in space:
            entry = dict(space.describe()[key])
            when = ", ".join(f"{k} = {' or '.join(map(str, v))}" for k, v in entry.pop("when", {}).items())
            table.add_row(key, _range(entry), when)
        out.print(f"\n[bold]search space {name}[/bold] (raybayes sweep {project.name} --space {name})")
        out.print(table)


def _range(entry: dict[str, Any]) -> str:
    if "choice" in entry:
        return " | ".join(str(value) for value in entry["choice"])
    low, high = entry.get("int") or entry["float"]
    return (
        f"{low:g} .. {high:g}"
        + (" log" if entry.get("log") else "")
        + (f" step {entry['step']:g}" if "step" in entry else "")
    )
