"""`raybayes new`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from raybayes.cli import options


def new(
    name: Annotated[str, typer.Argument(help="The project's name: small letters, digits and _.")],
    json: options.Json = False,
) -> int:
    """Write a project to start from into this folder: a training function, a search space, a test."""
    from raybayes.cli.printing import print_json
    from raybayes.training.new_project import create_project

    files = [str(file.relative_to(Path.cwd())) for file in create_project(name, Path.cwd())]
    if json:
        print_json({"files": files})
        return 0
    print("\n".join(files))
    print(f"\nNext:\n  raybayes sweep {name} --trials 10 --scheduler asha --local\n  pytest -q {files[-1]}")
    return 0
