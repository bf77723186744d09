"""`raybayes check`: whether a sweep's folder is whole, and mending it."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from raybayes.cli import options

if TYPE_CHECKING:
    from raybayes.sweeps.damage import Damage
    from raybayes.sweeps.repair import Repair


def check(
    path: Annotated[str, typer.Argument(help="Folder or URI of a sweep or run.")],
    repair: Annotated[
        bool, typer.Option("--repair", help="Mend what can be mended; the damaged files are kept in damaged/.")
    ] = False,
    json: options.Json = False,
) -> int:
    """Name what is damaged in a sweep's folder: file, line, trials. Exit code 2 if there is damage."""
    from raybayes.cli.printing import print_json
    from raybayes.store.filesystem import open_storage
    from raybayes.store.layout import Layout
    from raybayes.sweeps.repair import Mender, find_damage

    layout = Layout(open_storage(path))
    found = find_damage(layout)
    done = Mender(layout).repair() if repair and found else None
    if json:
        print_json({"path": path, "damage": [asdict(each) for each in found], "repair": done and asdict(done)})
    else:
        _print(path, found, done)
    return 2 if found and done is None else 0


def _print(path: str, found: list[Damage], done: Repair | None) -> None:
    if not found:
        print(f"{path}: whole")
        return
    for each in found:
        print(each)
    if done is None:
        things = "1 thing is damaged" if len(found) == 1 else f"{len(found)} things are damaged"
        print(f"{things}; mend with: raybayes check {path} --repair")
        return
    print("\n".join(["", *(f"mended: {sentence}" for sentence in done.mended)]))
    print("\n".join(f"lost: {sentence}" for sentence in done.lost) or "nothing is lost")
    if done.copies:
        print(f"the files as they were: {done.copies}")
