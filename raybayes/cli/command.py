"""Commands that projects offer on their runs: `raybayes <name> INPUT... --run PATH [--<setting> VALUE ...]`.

raybayes itself knows none of them: an unknown word is looked up among the commands of the run's project.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_args, get_origin

import typer
from typer.core import TyperGroup

from raybayes.cli import options
from raybayes.errors import SpecError, StoreError
from raybayes.wording import unknown

if TYPE_CHECKING:
    from raybayes.contract import Command, Findings

_HOUSE_OPTIONS = ("--run PATH", "--out DIR", "--json")


class Nouns(TyperGroup):
    """The commands of raybayes; every other word is a command of the run's project."""

    def get_command(self, ctx: Any, name: str) -> Any:
        return super().get_command(ctx, name) or _as_command(name, self.list_commands(ctx))


def _as_command(name: str, known: Sequence[str]) -> Any:
    single = typer.Typer(add_completion=False, rich_markup_mode=None)
    settings = {"allow_extra_args": True, "ignore_unknown_options": True}
    single.command(name, context_settings=settings, add_help_option=False)(_project_command(name, known))
    return typer.main.get_command(single)


def _project_command(name: str, known: Sequence[str]) -> Callable[..., int]:
    def call(
        ctx: typer.Context,
        run: Annotated[str | None, typer.Option()] = None,
        out: Annotated[str | None, typer.Option()] = None,
        json: options.Json = False,
    ) -> int:
        if run is None or {"-h", "--help"} & set(ctx.args):
            return _explain(name, known, asked=bool({"-h", "--help"} & set(ctx.args)))
        return _perform(name, ctx.args, run, out or name, json)

    return call


def _perform(name: str, arguments: Sequence[str], run: str, out: str, as_json: bool) -> int:
    from raybayes import catalog
    from raybayes.cli.printing import console, print_json
    from raybayes.cli.show import findings_rows, print_findings
    from raybayes.sweeps.results import SweepResult

    found = SweepResult(run)
    own = found.spec.training is not None  # then `found.command` says that there is none
    offered = {} if own else {command.name: command for command in catalog.load_project(found.spec.project).commands}
    inputs, settings = split_arguments(arguments, offered[name]) if name in offered else (list(arguments), {})
    made = found.command(name, inputs, settings)
    files = _write(made, Path(out), name)
    if as_json:
        print_json({"findings": findings_rows(made), "files": files})
        return 0
    screen = console()
    print_findings(made, screen)
    for file in files:
        screen.print(file, markup=False, soft_wrap=True)
    return 0


def split_arguments(arguments: Sequence[str], command: Command) -> tuple[list[str], dict[str, Any]]:
    """Inputs, and settings by name: "--class-image a.png" sets `class_image`; given twice, a tuple of both.

    Raises:
        SpecError: an option that the command does not have, or one without a value.
    """
    fields = command.Settings.model_fields
    inputs: list[str] = []
    settings: dict[str, Any] = {}
    left = list(arguments)
    while left:
        word = left.pop(0)
        if not word.startswith("--"):
            inputs.append(word)
            continue
        option, equals, value = word.partition("=")
        key = option.removeprefix("--").replace("-", "_")
        if key not in fields:
            valid = [_option(field) for field in fields]
            raise SpecError(unknown("option", option, valid, owner=command.name, shown=[*valid, *_HOUSE_OPTIONS]))
        if not equals:
            if not left:
                raise SpecError(f"{option} needs a value: {option} {_value_name(fields[key].annotation)}.")
            value = left.pop(0)
        if get_origin(fields[key].annotation) is tuple:
            settings[key] = (*settings.get(key, ()), value)
        elif key in settings:
            raise SpecError(f"{option} is given twice: {settings[key]} and {value}; give it once.")
        else:
            settings[key] = value
    return inputs, settings


def _option(field: str) -> str:
    return "--" + field.replace("_", "-")


def _value_name(kind: Any) -> str:
    """The placeholder of an option's value in the help; yes or no is true or false, as there are no flags."""
    return "true|false" if bool in (kind, *get_args(kind)) else "VALUE"


def _write(made: Findings, folder: Path, name: str) -> list[str]:
    """The tables as <name>.json and every figure as a PNG file; returns their names."""
    import json

    from raybayes.cli.printing import plain
    from raybayes.cli.show import findings_rows
    from raybayes.reporting.figures.style import render_figure
    from raybayes.reporting.tables.findings import file_name

    files = {f"{name}.json": json.dumps(plain(findings_rows(made)), indent=2, default=str).encode()}
    files |= {f"{file_name(caption)}.png": render_figure(figure, "png") for caption, figure in made.figures.items()}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for file, content in files.items():
            (folder / file).write_bytes(content)
    except OSError as error:
        raise StoreError(f"{folder} cannot be written: {error.strerror or error}; choose another --out.") from None
    return [os.path.join(folder, file) for file in files]


def _explain(name: str, known: Sequence[str], asked: bool) -> int:
    """Print the help of a project's command; without --help, raise the sentence that says what is missing."""
    from raybayes import catalog
    from raybayes.cli.printing import console, plain_table

    projects, _ = catalog.load_projects()
    offering = [(p, command) for p in projects for command in p.commands if command.name == name]
    if not offering:
        offered = [command.name for p in projects for command in p.commands]
        on_runs = [f"{command} --run PATH" for command in offered]
        raise SpecError(unknown("command", name, [*known, *offered], shown=[*known, *on_runs]))
    if not asked:
        names = " or ".join(project.name for project, _ in offering)
        raise SpecError(f"{name} works on a run of {names}: give --run PATH, its folder. See raybayes {name} --help.")
    screen = console()
    for project, command in offering:
        usage = f"raybayes {name} {command.inputs}... --run PATH [OPTIONS]"
        screen.print(f"{usage}\n\n  {command.summary} (project {project.name})\n", markup=False)
        table = plain_table("option", "default", "meaning")
        for field, info in command.Settings.model_fields.items():
            default = "" if info.is_required() else repr(info.get_default(call_default_factory=True))
            table.add_row(f"{_option(field)} {_value_name(info.annotation)}", default, info.description or "")
        table.add_row("--run PATH", "", "folder of the run or sweep")
        table.add_row("--out DIR", repr(name), "folder that the JSON file and the pictures are written to")
        table.add_row("--json", "", "print JSON for machines")
        screen.print(table)
    return 0
