"""Which code was it? The commit, the uncommitted changes, the sources and the packages that a training runs with."""

from __future__ import annotations

import ast
import functools
import hashlib
import importlib.metadata
import inspect
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

DIFF_LIMIT = 64_000  # characters of an uncommitted change that are kept
_GIT_S = 10.0


def code_stamp(sources: Mapping[str, str], folder: Path) -> dict[str, Any]:
    """What a burst stores of its code.

    Args:
        sources: a digest by file, see `file_digests`, or by the name of what has no file.
        folder: where the sources lie; its git repository, if it is in one, gives commit and diff.

    Returns:
        commit, diff (bounded), sources, python.
    """
    diff = _git(folder, "diff", "HEAD", "--no-color", "--no-ext-diff")
    if diff is not None and len(diff) > DIFF_LIMIT:
        diff = f"{diff[:DIFF_LIMIT]}\n... {len(diff) - DIFF_LIMIT} characters left out"
    return {
        "commit": (_git(folder, "rev-parse", "HEAD") or "").strip() or None,
        "diff": diff or None,
        "sources": dict(sorted(sources.items())),
        "python": sys.version.split()[0],
    }


def changed_sources(before: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """Files that differ between two stamps: changed, added or gone."""
    return sorted(name for name in {**before, **now} if before.get(name) != now.get(name))


def function_digests(function: Callable[..., Any]) -> tuple[dict[str, str], Path]:
    """Digests of a function's sources, and the folder where they lie.

    A function of a module is its file and what this imports from the same folder; one of a notebook or of a closure is
    its own text, or where there is none its compiled code.
    """
    target = inspect.unwrap(function)
    if not inspect.isfunction(target) and not inspect.isclass(target):
        target = type(target)
    try:
        file = Path(inspect.getsourcefile(target) or "")
    except TypeError:  # built in
        file = Path()
    if file.is_file():
        return file_digests([file], file.parent), file.parent
    return {f"<{getattr(function, '__qualname__', type(function).__name__)}>": _text_digest(target)}, Path.cwd()


def _text_digest(target: Any) -> str:
    try:
        return _digest(inspect.getsource(target).encode())
    except (OSError, TypeError):
        code = target.__code__
        return _digest(repr((code.co_code, code.co_consts, code.co_names)).encode())


def folder_digests(folders: Iterable[Path], root: Path) -> dict[str, str]:
    """Digests of all Python files below some folders, by their path below `root`."""
    files = (file for folder in folders for file in ([folder] if folder.is_file() else folder.rglob("*.py")))
    return {_shown(file, root): _digest(file.read_bytes()) for file in files}


def file_digests(files: Iterable[Path], root: Path) -> dict[str, str]:
    """Digests of some files and of all that they import, directly or not, from below `root`; by path below it."""
    found: dict[str, str] = {}
    left = [file.resolve() for file in files]
    while left:
        file = left.pop()
        shown = _shown(file, root)
        if shown in found:
            continue
        content = file.read_bytes()
        found[shown] = _digest(content)
        left += _imported_files(content, file, root.resolve())
    return found


def _shown(file: Path, root: Path) -> str:
    file, root = file.resolve(), root.resolve()
    return str(file.relative_to(root)) if file.is_relative_to(root) else str(file)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]


def _imported_files(content: bytes, file: Path, root: Path) -> Iterator[Path]:
    try:
        tree = ast.parse(content)
    except SyntaxError:
        return
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _module_files(alias.name, file.parent, root)
        elif isinstance(node, ast.ImportFrom):
            start = file.parents[node.level - 1] if node.level else root
            for alias in node.names:
                dotted = ".".join(filter(None, [node.module, alias.name]))
                yield from _module_files(dotted, start, root)


def _module_files(dotted: str, beside: Path, root: Path) -> Iterator[Path]:
    """The file of a module and of the packages that hold it, where they lie beside the importer or below the root."""
    for start in {beside, root}:
        place = start
        for part in dotted.split("."):
            place = place / part
            for candidate in (place.with_suffix(".py"), place / "__init__.py"):
                if candidate.is_file() and candidate.is_relative_to(root):
                    yield candidate


def _git(folder: Path, *arguments: str) -> str | None:
    try:
        ran = subprocess.run(
            ["git", "-C", str(folder), *arguments], capture_output=True, text=True, errors="backslashreplace",
            timeout=_GIT_S, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):  # no git here, or a repository too slow to ask
        return None
    return ran.stdout if ran.returncode == 0 else None


@functools.cache
def package_versions() -> dict[str, str]:
    """Versions of the installed packages, which takes a second where the disk is cold."""
    found = {
        dist.metadata["Name"]: dist.version for dist in importlib.metadata.distributions() if dist.metadata["Name"]
    }
    return dict(sorted(found.items(), key=lambda item: item[0].lower()))
