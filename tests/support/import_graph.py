"""Reads the imports of a source tree: who imports whom, and where imports run in a circle. Nothing is executed.

`python tests/support/import_graph.py [FOLDER]` prints the modules, arrows and circles of each package of a checkout.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple


class Import(NamedTuple):
    """One name that a file imports, wherever in the file it does so."""

    module: str  # the importing module, dotted
    line: int
    target: str  # dotted, as far as it is known to be a module
    only_for_types: bool  # below `if TYPE_CHECKING:`, so never executed

    @property
    def place(self) -> str:
        return f"{self.module}:{self.line} imports {self.target}"


def modules_of(root: Path, package: str) -> dict[str, Path]:
    """The files of a package by dotted name."""
    files = {}
    for file in sorted((root / package).rglob("*.py")):
        parts = file.relative_to(root).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return files


def imports_of(module: str, is_package: bool, source: str, known: Iterable[str]) -> Iterator[Import]:
    """All imports of a source text, also those in functions and those for type checkers.

    Args:
        module: the dotted name of the text.
        known: names of modules, by which `from a import b` is the module a.b or a name in the module a.
    """
    known = frozenset(known)
    package = module.split(".") if is_package else module.split(".")[:-1]
    for node, only_for_types in _walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            base = ".".join([*above, *filter(None, [node.module])])
            names = [f"{base}.{alias.name}" for alias in node.names]
            targets = list(dict.fromkeys(name if name in known else base for name in names))
        else:  # importlib.import_module("a.b")
            targets = [node.args[0].value]
        for target in targets:
            yield Import(module, node.lineno, target, only_for_types)


def _walk(node: ast.AST, only_for_types: bool = False) -> Iterator[tuple[ast.AST, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom) or _is_import_call(child):
            yield child, only_for_types
        for_types = isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)
        yield from _walk(child, only_for_types or for_types)


def _is_import_call(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Call)
        and ast.unparse(node.func).endswith("import_module")
        and bool(node.args)
        and isinstance(node.args[0], ast.Constant)
    )


def read(root: Path, package: str, known: Iterable[str] = ()) -> list[Import]:
    """Every import of a package's files. `known` are further modules that they may import."""
    files = modules_of(root, package)
    return [
        found
        for module, file in files.items()
        for found in imports_of(module, file.name == "__init__.py", file.read_text(encoding="utf-8"), {*files, *known})
    ]


def arrows_of(imports: Iterable[Import], modules: Iterable[str]) -> dict[str, set[str]]:
    """Which modules each module imports, of those given; an imported name counts as its module."""
    arrows: dict[str, set[str]] = {module: set() for module in modules}
    for found in imports:
        target = found.target
        while target and target not in arrows:
            target = target.rpartition(".")[0]
        if target and target != found.module:
            arrows[found.module].add(target)
    return arrows


def circles_of(arrows: Mapping[str, Iterable[str]]) -> list[list[str]]:
    """The strongly connected components of more than one module (Tarjan 1972), each in alphabetical order."""
    found: list[list[str]] = []
    order: dict[str, int] = {}
    lowest: dict[str, int] = {}
    stack: list[str] = []

    def visit(module: str) -> None:
        order[module] = lowest[module] = len(order)
        stack.append(module)
        for target in arrows[module]:
            if target not in order:
                visit(target)
                lowest[module] = min(lowest[module], lowest[target])
            elif target in stack:
                lowest[module] = min(lowest[module], order[target])
        if lowest[module] == order[module]:
            component = stack[stack.index(module) :]
            del stack[stack.index(module) :]
            if len(component) > 1:
                found.append(sorted(component))

    for module in arrows:
        if module not in order:
            visit(module)
    return found


def circles_by_folder(arrows: Mapping[str, Iterable[str]], folders: Iterable[str]) -> dict[str, list[list[str]]]:
    """For each folder the circles among its files and folders, each of which counts as one with all that it holds."""
    found = {}
    for folder in folders:
        children: dict[str, set[str]] = {}
        for module, targets in arrows.items():
            if mine := _child(folder, module):
                theirs = {child for target in targets if (child := _child(folder, target)) and child != mine}
                children.setdefault(mine, set()).update(theirs)
                for child in theirs:
                    children.setdefault(child, set())
        if circles := circles_of(children):
            found[folder] = circles
    return found


def _child(folder: str, module: str) -> str | None:
    """The file or folder directly in `folder` that a module is, or lies in."""
    inner = module.removeprefix(f"{folder}.")
    return None if inner == module else inner.split(".")[0]


def main(root: Path) -> None:
    for package in ("raybayes", "trainables", "search_spaces"):
        modules = modules_of(root, package)
        folders = [name for name, file in modules.items() if file.name == "__init__.py"]
        arrows = arrows_of(read(root, package, modules), modules)
        circles, sides = circles_of(arrows), circles_by_folder(arrows, folders)
        count = sum(len(targets) for targets in arrows.values())
        sums = f"{len(circles)} circles of modules, {sum(map(len, sides.values()))} circles within folders"
        print(f"{package}: {len(modules)} modules in {len(folders)} folders, {count} arrows, {sums}")
        for circle in circles:
            print(f"  circle of {len(circle)} modules: {', '.join(circle)}")
        for folder, found in sides.items():
            for circle in found:
                print(f"  circle in {folder}: {', '.join(circle)}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "."))
