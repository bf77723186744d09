"""Reads TSPLIB files, with the distance rules behind published optima.

Supported: TYPE TSP (or none); EDGE_WEIGHT_TYPE EUC_2D, CEIL_2D, GEO, ATT, EXPLICIT; for EXPLICIT the formats
FULL_MATRIX, UPPER_ROW, LOWER_ROW, UPPER_DIAG_ROW, LOWER_DIAG_ROW. TYPE ATSP, for distances that depend on the
direction: EXPLICIT, FULL_MATRIX.

References:
    G. Reinelt, TSPLIB 95, 1995, section 2 (distance functions).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from raybayes.errors import DataError

Section = list[tuple[int, str]]  # its lines, with their numbers in the file
Distances = npt.NDArray[np.float64]
_COORDINATES = ("EUC_2D", "CEIL_2D", "GEO", "ATT")


@dataclass(frozen=True)
class Instance:
    """A travelling salesman's problem.

    Args:
        name: as the file says.
        distance: (n, n), from row to column, zero diagonal; integers, in floats.
        optimum: the length of a shortest tour, if known.
        points: the cities' coordinates from the file; None if it has distances only.
        tour: a shortest tour, if known.
    """

    name: str
    distance: Distances
    optimum: float | None = None
    points: Sequence[tuple[float, float]] | None = None
    tour: Sequence[int] | None = None


def is_tsplib(name: str) -> bool:
    """Whether this is the path of a file, and no instance's name."""
    return name.endswith((".tsp", ".atsp"))


def read_tsplib(path: Path) -> Instance:
    """The instance of a `.tsp` or `.atsp` file.

    Raises:
        DataError: no such file; an unsupported type or format; missing or surplus numbers.
    """
    try:
        lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}); name a TSPLIB file or an instance.") from None
    header, sections = _parts(lines)
    if (problem := header.get("TYPE", "TSP").split()[0]) not in ("TSP", "ATSP"):
        raise DataError(
            f"{path}: found TYPE {header['TYPE']}; supported: TSP, and ATSP for distances with a direction."
        )
    try:
        n = int(header.get("DIMENSION", ""))
    except ValueError:
        raise DataError(f"{path}: found DIMENSION {header.get('DIMENSION')!r}; it must be a whole number.") from None
    if n < 3:
        raise DataError(f"{path}: found DIMENSION {n}; a tour needs at least 3 cities.")
    kind, layout = header.get("EDGE_WEIGHT_TYPE", ""), header.get("EDGE_WEIGHT_FORMAT", "")
    if problem == "ATSP" and (kind, layout) != ("EXPLICIT", "FULL_MATRIX"):
        raise DataError(f"{path}: found {kind} {layout}; TYPE ATSP needs EDGE_WEIGHT_TYPE EXPLICIT, FULL_MATRIX.")
    if kind == "EXPLICIT":
        points, distance = None, _explicit(path, layout, n, sections.get("EDGE_WEIGHT_SECTION", []))
        if problem == "TSP" and not np.array_equal(distance, distance.T):
            raise DataError(f"{path}: the FULL_MATRIX is not symmetric; distances with a direction are TYPE ATSP.")
    elif kind in _COORDINATES:
        points = _coordinates(path, kind, n, sections.get("NODE_COORD_SECTION", []))
        distance = _RULES[kind](points)
        np.fill_diagonal(distance, 0.0)
    else:
        raise DataError(
            f"{path}: found EDGE_WEIGHT_TYPE {kind!r}; supported: EXPLICIT, {', '.join(_COORDINATES)}; convert the"
            f" file."
        )
    shown = None if points is None else [(float(x), float(y)) for x, y in points]
    return Instance(header.get("NAME", path.stem).removesuffix(path.suffix), distance, points=shown)


def _parts(lines: list[str]) -> tuple[dict[str, str], dict[str, Section]]:
    """Header entries by keyword, and the lines of each section."""
    header: dict[str, str] = {}
    sections: dict[str, Section] = {}
    current: Section | None = None
    for number, line in enumerate((line.strip() for line in lines), 1):
        if not line or line == "EOF":
            continue
        if line.split()[0].rstrip(":").endswith("_SECTION"):
            current = sections.setdefault(line.split()[0].rstrip(":"), [])
        elif ":" in line and line[0].isalpha():
            key, _, value = line.partition(":")
            header[key.strip()] = value.strip()
        elif current is not None:
            current.append((number, line))
    return header, sections


def _numbers(path: Path, lines: Section) -> list[float]:
    """The numbers of a section's lines; DataError names the line of a word that is no finite number."""
    found = []
    for number, line in lines:
        for word in line.split():
            try:
                value = float(word)
            except ValueError as error:
                raise DataError(f"{path}, line {number}: {error}; a section must hold numbers only.") from None
            if not math.isfinite(value):
                raise DataError(f"{path}, line {number}: found {word}; coordinates and distances must be finite.")
            found.append(value)
    return found


def _coordinates(path: Path, kind: str, n: int, lines: Section) -> Distances:
    if not lines:
        raise DataError(f"{path}: there is no NODE_COORD_SECTION, which {kind} computes distances from; add it, or give"
                        f" the distances (EDGE_WEIGHT_TYPE EXPLICIT).")  # fmt: skip
    rows = [_numbers(path, [line]) for line in lines]
    if len(rows) != n or any(len(row) != 3 for row in rows):
        bad = next((i for i, row in enumerate(rows, 1) if len(row) != 3), None)
        found = f"{len(rows)} rows" if bad is None else f"{len(rows[bad - 1])} numbers in row {bad}"
        raise DataError(
            f"{path}: NODE_COORD_SECTION has {found}; DIMENSION {n} requires {n} rows of city, x, y: complete the file."
        )
    if sorted(int(row[0]) for row in rows) != list(range(1, n + 1)):
        raise DataError(f"{path}: NODE_COORD_SECTION must number its cities 1 to {n}, each once.")
    return np.array([row[1:] for row in sorted(rows)])


def _explicit(path: Path, layout: str, n: int, lines: Section) -> Distances:
    layouts: dict[str, tuple[int, Callable[[], tuple[npt.NDArray[np.intp], ...]]]] = {
        "FULL_MATRIX": (n * n, lambda: tuple(np.indices((n, n)).reshape(2, -1))),
        "UPPER_ROW": (n * (n - 1) // 2, lambda: np.triu_indices(n, 1)),
        "UPPER_DIAG_ROW": (n * (n + 1) // 2, lambda: np.triu_indices(n)),
        "LOWER_ROW": (n * (n - 1) // 2, lambda: np.tril_indices(n, -1)),
        "LOWER_DIAG_ROW": (n * (n + 1) // 2, lambda: np.tril_indices(n)),
    }
    if layout not in layouts:
        raise DataError(
            f"{path}: found EDGE_WEIGHT_FORMAT {layout!r}; supported: {', '.join(layouts)}; convert the file."
        )
    wanted, indices = layouts[layout]
    weights = _numbers(path, lines)
    if len(weights) != wanted:
        raise DataError(
            f"{path}: EDGE_WEIGHT_SECTION has {len(weights)} numbers; {layout} of DIMENSION {n} requires {wanted}: "
            f"complete the file."
        )
    matrix = np.zeros((n, n))
    matrix[indices()] = weights
    if layout != "FULL_MATRIX":
        matrix = np.maximum(matrix, matrix.T)
    np.fill_diagonal(matrix, 0.0)
    return matrix


def _lengths(points: Distances) -> Distances:
    gaps = points[:, None, :] - points[None, :, :]
    return np.asarray(np.sqrt((gaps**2).sum(-1)))


def _euclidean(points: Distances) -> Distances:
    return np.asarray(np.floor(_lengths(points) + 0.5))


def _ceiling(points: Distances) -> Distances:
    return np.asarray(np.ceil(_lengths(points)))


def _pseudo_euclidean(points: Distances) -> Distances:
    real = _lengths(points) / math.sqrt(10.0)
    rounded = np.floor(real + 0.5)
    return np.asarray(np.where(rounded < real, rounded + 1, rounded))


def _geographical(points: Distances) -> Distances:
    """Coordinates are DDD.MM; TSPLIB's pi and radius are part of the definition."""
    degrees = np.trunc(points)
    radians = 3.141592 * (degrees + 5.0 * (points - degrees) / 3.0) / 180.0
    latitude, longitude = radians[:, 0], radians[:, 1]
    q1 = np.cos(longitude[:, None] - longitude[None, :])
    q2 = np.cos(latitude[:, None] - latitude[None, :])
    q3 = np.cos(latitude[:, None] + latitude[None, :])
    inner = np.clip(0.5 * ((1 + q1) * q2 - (1 - q1) * q3), -1.0, 1.0)
    return np.asarray(np.floor(6378.388 * np.arccos(inner) + 1.0))


_RULES: dict[str, Callable[[Distances], Distances]] = {
    "EUC_2D": _euclidean,
    "CEIL_2D": _ceiling,
    "ATT": _pseudo_euclidean,
    "GEO": _geographical,
}
