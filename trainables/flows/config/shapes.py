"""How the data's shape runs through the trunk: what each split removes, and what remains for the conditional part."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from raybayes.contract import require_entries
from raybayes.data import describe
from raybayes.data.records import Pixels
from raybayes.errors import DataError
from trainables.flows.config.presets import TOYS
from trainables.flows.config.values import TrunkKind, TrunkValues, Values

Shape = tuple[int, ...]  # (channels, height, width) of a picture, (d,) of a vector


@dataclass(frozen=True)
class Plan:
    """Shapes of a trunk.

    Args:
        deep: shape of what the conditional part sees.
        gone: shapes of what the splits remove, in order.
    """

    deep: Shape
    gone: tuple[Shape, ...]


def size(shape: Shape) -> int:
    """Number of dimensions."""
    total = 1
    for length in shape:
        total *= length
    return total


def pixels_of(dataset: str) -> Pixels | None:
    """Shape of a known data set's pictures; None for moons, circles and files."""
    if dataset in TOYS or dataset.endswith(".parquet"):
        return None
    return describe(dataset).pixels


def data_shape(config: Values) -> Shape | None:
    """Shape of an example as the flow sees it; None where it depends on the user's file."""
    if config.dataset in TOYS:
        return (2,)
    if config.pca:
        return (config.pca,)
    pixels = pixels_of(config.dataset)
    return None if pixels is None else shrunk((pixels.channels, pixels.height, pixels.width), config)


def shrunk(shape: Shape, config: Values) -> Shape:
    """A picture's shape after averaging blocks and padding.

    Raises:
        DataError: the blocks do not tile the picture.
    """
    channels, height, width = shape
    if height % config.shrink or width % config.shrink:
        raise DataError(
            f"shrink = {config.shrink} does not divide pictures of {height} x {width}; use a divisor, or 1."
        )
    return channels, height // config.shrink + 2 * config.pad, width // config.shrink + 2 * config.pad


@dataclass(frozen=True)
class Traits:
    """What is known of a kind of trunk.

    Args:
        vectors, pictures: whether it takes examples of that layout.
        squeezes: how often it halves height and width, given its levels.
    """

    vectors: bool
    pictures: bool
    squeezes: Callable[[int], int]


TRUNKS: dict[TrunkKind, Traits] = {
    "masked_glow": Traits(False, True, lambda levels: levels - 1),
    "glow": Traits(False, True, lambda levels: levels),
    "couplings": Traits(True, False, lambda levels: 0),
    "identity": Traits(True, True, lambda levels: 0),
    "ode": Traits(True, False, lambda levels: 0),
}
require_entries(TrunkKind, TRUNKS, "trainables/flows/config/shapes.py: TRUNKS")


def squeezes(trunk: TrunkValues) -> int:
    """How often a trunk halves height and width."""
    return TRUNKS[trunk.kind].squeezes(trunk.levels)


def levels_that_fit(trunk: TrunkValues, shape: Shape) -> list[int]:
    """Values of `trunk.levels` that a picture's size allows."""
    return [n for n in range(1, 7) if _divides(2 ** squeezes(trunk.model_copy(update={"levels": n})), shape)]


def _divides(factor: int, shape: Shape) -> bool:
    return shape[1] % factor == 0 and shape[2] % factor == 0


def trunk_problem(trunk: TrunkValues, shape: Shape) -> str | None:
    """Why a trunk does not fit data of a shape, or None."""
    if len(shape) == 1:
        if not TRUNKS[trunk.kind].vectors:
            return f"trunk.kind = {trunk.kind} needs pictures, found vectors of {shape[0]}; use couplings or identity."
        if trunk.kind == "couplings" and shape[0] < 2:
            return f"trunk.kind = couplings needs vectors of 2 or more dimensions, found {shape[0]}; use identity."
        if trunk.kind == "ode" and shape[0] > 8:
            return (
                f"trunk.kind = ode takes the exact divergence, which allows at most 8 dimensions; found {shape[0]}; use"
                f" couplings."
            )
        return None
    if not TRUNKS[trunk.kind].pictures:
        return (
            f"trunk.kind = {trunk.kind} needs vectors, found pictures; use masked_glow, glow or identity, or pca > 0."
        )
    if not _divides(2 ** squeezes(trunk), shape):
        fit = ", ".join(map(str, levels_that_fit(trunk, shape))) or "none"
        return (
            f"trunk.levels = {trunk.levels} halves pictures {squeezes(trunk)} times, which {shape[1]} x {shape[2]} does"
            f" not allow (checkerboards take odd sizes, squeezes do not); levels that fit: {fit}."
        )
    if trunk.kind == "masked_glow" and trunk.levels == 1 and trunk.steps and shape[0] < 2:
        return f"trunk.levels = 1 leaves {shape[0]} channel, which couplings cannot split; use more levels, or glow."
    return None


def plan(trunk: TrunkValues, shape: Shape) -> Plan:
    """Shapes along a trunk that fits (see `trunk_problem`)."""
    if len(shape) == 1 or trunk.kind == "identity":
        return Plan(shape, ())
    channels, height, width = shape
    gone: list[Shape] = []
    halvings = squeezes(trunk)
    for done in range(1, halvings + 1):
        channels, height, width = channels * 4, height // 2, width // 2
        if trunk.kind == "masked_glow" or done < halvings:
            gone.append((channels // 2, height, width))
            channels -= channels // 2
    return Plan((channels, height, width), tuple(gone))


def head_problem(levels: int, steps_need_pairs: bool, dimensions: int) -> str | None:
    """Why a conditional part does not fit `dimensions` deep dimensions, or None."""
    left = dimensions
    for level in range(1, levels + 1):
        if left < 2 and steps_need_pairs:
            fit = max(1, level - 1)
            return (
                f"head.levels = {levels} leaves {left} dimension(s) of {dimensions} to couple at level {level};"
                f" at most {fit} level(s) fit, or use head.kind = shift."
            )
        left -= left // 2
    return None
