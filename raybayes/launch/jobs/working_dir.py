"""Selects the files of a working directory that are sent with a job."""

from __future__ import annotations

import fnmatch
import os
import shutil
import subprocess
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from raybayes.errors import SpecError

LIMIT_MB = 100.0
# No job needs these: histories, environments, caches, and results, which stay where they are.
EXCLUDES = (
    ".git", ".hg", ".venv", "venv", ".env", "__pycache__", "*.pyc", ".mypy_cache", ".ruff_cache", ".pytest_cache",
    ".hypothesis", ".ipynb_checkpoints", "*.egg-info", "node_modules", "build", "dist", "runs", ".DS_Store",
)  # fmt: skip
_SHOWN = 10


@dataclass(frozen=True)
class WorkingDir:
    """The part of a working directory that is sent.

    Args:
        root: the directory.
        files: relative paths and sizes in bytes, sorted by path.
    """

    root: Path
    files: tuple[tuple[str, int], ...]

    @property
    def size(self) -> int:
        """Total in bytes."""
        return sum(size for _, size in self.files)

    def copy_to(self, target: Path) -> None:
        """Copy these files into an empty folder."""
        for name, _ in self.files:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(self.root / name, target / name)


def select_files(root: Path, excludes: Sequence[str] = (), limit_mb: float = LIMIT_MB) -> WorkingDir:
    """The files that git tracks or would add, without git all of them; always without `EXCLUDES`.

    Args:
        root: the working directory.
        excludes: more patterns of files to leave out.
        limit_mb: largest total size.

    Raises:
        SpecError: the files are larger than the limit; the message names the ten largest.
    """
    patterns = (*EXCLUDES, *excludes)
    names = sorted(name for name in _list_files(root, patterns) if not is_excluded(name, patterns))
    files = ((name, root / name) for name in names)
    working_dir = WorkingDir(root, tuple((name, path.stat().st_size) for name, path in files if path.is_file()))
    if working_dir.size > limit_mb * 1e6:
        raise _size_error(working_dir, limit_mb)
    return working_dir


def is_excluded(name: str, patterns: Iterable[str]) -> bool:
    """Whether a pattern matches the path, a folder above it, or its last part."""
    parts = name.split("/")
    prefixes = ["/".join(parts[: i + 1]) for i in range(len(parts))]
    return any(
        fnmatch.fnmatch(candidate, pattern.strip("/")) for pattern in patterns for candidate in (*parts, *prefixes)
    )


def _list_files(root: Path, patterns: Sequence[str]) -> list[str]:
    listed = subprocess.run(
        ["git", "-C", str(root), "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        capture_output=True, text=True, check=False,
    ) if shutil.which("git") else None  # fmt: skip
    if listed is not None and listed.returncode == 0:
        return [name for name in listed.stdout.split("\0") if name]
    found = []
    for folder, inner, files in os.walk(root):
        here = os.path.relpath(folder, root)
        inner[:] = [name for name in inner if not is_excluded(os.path.normpath(f"{here}/{name}"), patterns)]
        found += [os.path.normpath(f"{here}/{name}") for name in files]
    return found


def _size_error(working_dir: WorkingDir, limit_mb: float) -> SpecError:
    largest = sorted(working_dir.files, key=lambda file: -file[1])[:_SHOWN]
    lines = "\n".join(f"  {size / 1e6:8.1f} MB  {name}" for name, size in largest)
    return SpecError(
        f"{working_dir.root}: the working directory has {working_dir.size / 1e6:.1f} MB in {len(working_dir.files)} "
        f"files, and the limit is {limit_mb:g} MB, because it is sent to every node. The largest:\n{lines}\n"
        "Leave files out with --exclude PATTERN or .gitignore, or raise --size-limit."
    )
