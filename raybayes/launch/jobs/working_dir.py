"""Which files of a working directory travel with a job, and why they may not."""

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
# What no job needs: histories, environments, caches, and results, which stay where they are.
EXCLUDES = (
    ".git", ".hg", ".venv", "venv", ".env", "__pycache__", "*.pyc", ".mypy_cache", ".ruff_cache", ".pytest_cache",
    ".hypothesis", ".ipynb_checkpoints", "*.egg-info", "node_modules", "build", "dist", "runs", ".DS_Store",
)  # fmt: skip
_SHOWN = 10


@dataclass(frozen=True)
class Packed:
    """A working directory as it will travel.

    Args:
        root: the directory.
        files: relative paths and sizes in bytes, sorted by path.
    """

    root: Path
    files: tuple[tuple[str, int], ...]

    @property
    def size(self) -> int:
        """Bytes in all."""
        return sum(size for _, size in self.files)

    def copy_to(self, target: Path) -> None:
        """Put exactly these files into an empty folder."""
        for name, _ in self.files:
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(self.root / name, target / name)


def choose(root: Path, excludes: Sequence[str] = (), limit_mb: float = LIMIT_MB) -> Packed:
    """The files of a working directory: those that git knows or would take, else all; without `EXCLUDES`.

    Raises:
        SpecError: they are larger than the limit; the ten largest are named.
    """
    patterns = (*EXCLUDES, *excludes)
    names = sorted(name for name in _candidates(root, patterns) if not excluded(name, patterns))
    packed = Packed(root, tuple((name, (root / name).stat().st_size) for name in names if (root / name).is_file()))
    if packed.size > limit_mb * 1e6:
        raise SpecError(_too_large(packed, limit_mb))
    return packed


def excluded(name: str, patterns: Iterable[str]) -> bool:
    """Whether a pattern matches the path, a folder above it, or its last part."""
    parts = name.split("/")
    prefixes = ["/".join(parts[: i + 1]) for i in range(len(parts))]
    return any(
        fnmatch.fnmatch(candidate, pattern.strip("/")) for pattern in patterns for candidate in (*parts, *prefixes)
    )


def _candidates(root: Path, patterns: Sequence[str]) -> list[str]:
    asked = subprocess.run(
        ["git", "-C", str(root), "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        capture_output=True, text=True, check=False,
    ) if shutil.which("git") else None  # fmt: skip
    if asked is not None and asked.returncode == 0:
        return [name for name in asked.stdout.split("\0") if name]
    found = []
    for folder, inner, files in os.walk(root):
        here = os.path.relpath(folder, root)
        inner[:] = [name for name in inner if not excluded(os.path.normpath(f"{here}/{name}"), patterns)]
        found += [os.path.normpath(f"{here}/{name}") for name in files]
    return found


def _too_large(packed: Packed, limit_mb: float) -> str:
    largest = sorted(packed.files, key=lambda file: -file[1])[:_SHOWN]
    lines = "\n".join(f"  {size / 1e6:8.1f} MB  {name}" for name, size in largest)
    return (
        f"{packed.root}: the working directory has {packed.size / 1e6:.1f} MB in {len(packed.files)} files, and the "
        f"limit is {limit_mb:g} MB, because it is sent to every node. The largest:\n{lines}\n"
        "Leave files out with --exclude PATTERN or .gitignore, or raise --size-limit."
    )
