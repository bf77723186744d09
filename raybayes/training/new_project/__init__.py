"""`raybayes new NAME`: the files of a project to start from, which runs at once."""

from __future__ import annotations

import keyword
import re
from importlib import resources
from pathlib import Path

from raybayes import catalog
from raybayes.errors import SpecError

_FILES = {  # from the templates beside this file
    "trainables/NAME/__init__.py": "trainable.txt",
    "search_spaces/NAME.py": "space.txt",
    "tests/test_NAME.py": "test.txt",
}


def create_project(name: str, folder: Path) -> list[Path]:
    """Write the files of a new project below `folder`; returns them.

    Raises:
        SpecError: the name is taken or no name for a module, or a file is there already. Nothing is written then.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        raise SpecError(f"new: found the name {name!r}; use small letters, digits and _, for example my_project.")
    if name in catalog.project_names():
        raise SpecError(f"new: there is a project {name} already; choose another name (raybayes projects lists them).")
    files = {folder / place.replace("NAME", name): template for place, template in _FILES.items()}
    if there := [file for file in files if file.exists()]:
        raise SpecError(f"new: {there[0]} is there already; choose another name, or move it away.")
    for file, template in files.items():
        text = resources.files(__package__).joinpath(template).read_text(encoding="utf-8")
        title = name.title().replace("_", "")
        try:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text.replace("NAME_CLASS", title).replace("NAME", name), encoding="utf-8")
        except OSError as error:
            raise SpecError(f"new: {file} cannot be written: {error.strerror}; choose another folder.") from None
    return list(files)
