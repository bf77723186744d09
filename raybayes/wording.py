"""Phrases that every part of raybayes words alike: unknown names with the nearest valid one, numbers with errors."""

from __future__ import annotations

import difflib
import math
from collections.abc import Callable, Iterable

NONE = "–"
_ROUNDING = 1e-12  # an error below this share of its value is what rounding leaves of 0


def unknown(kind: str, name: str, valid: Iterable[str], *, owner: str = "", shown: Iterable[str] | None = None) -> str:
    """The sentence for a name that does not exist: the nearest valid name, then all of them.

    Args:
        kind: what the name names, in the singular: "key", "project", "scheduler".
        name: what was found.
        valid: what is allowed.
        owner: what should have it: "scheduler asha"; "" where the kind says it all.
        shown: the valid names as they are to be listed, with their defaults say; `valid` itself by default.

    Example:
        >>> unknown("key", "lrr", ["lr", "momentum"])
        "unknown key 'lrr'; did you mean 'lr'? Valid keys: lr, momentum."
        >>> unknown("option", "depth", ["eta"], owner="scheduler asha")
        "scheduler asha has no option 'depth'; valid options: eta."
    """
    valid = list(valid)
    listed = ", ".join(valid if shown is None else shown) or "none"
    start = f"{owner} has no {kind} {name!r}" if owner else f"unknown {kind} {name!r}"
    hint = did_you_mean(name, valid)
    return f"{start}{hint} Valid {kind}s: {listed}." if hint else f"{start}; valid {kind}s: {listed}."


def did_you_mean(name: str, valid: Iterable[str]) -> str:
    """`"; did you mean 'lr'?"` for the valid name that is nearest, or "" if none is near."""
    near = difflib.get_close_matches(name, list(valid), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


def number(value: float | None, digits: int = 4) -> str:
    """A number to `digits` significant digits, without trailing zeros; "–" for none."""
    if value is None:
        return NONE
    if isinstance(value, int) or not math.isfinite(value):
        return str(value)
    if value != 0 and not 1e-4 <= abs(value) < 1e6:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        return f"{mantissa.rstrip('0').rstrip('.') if '.' in mantissa else mantissa}e{int(exponent)}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value)))) if value else 0
    text = f"{value:.{decimals}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def in_five_digits(value: float) -> str:
    """A number to five significant digits, as a sentence quotes it."""
    return f"{value:.5g}"


def padded(value: float) -> str:
    """A number to four significant digits, trailing zeros kept, so that a column of results lines up."""
    if value == 0 or not math.isfinite(value) or not 1e-4 <= abs(value) < 1e6:
        return number(value)
    return f"{value:.{max(0, 3 - math.floor(math.log10(abs(value))))}f}"


def with_error(mean: float | None, error: float | None = None, *, alone: Callable[[float], str] = padded) -> str:
    """A mean ± its standard error, which has two significant digits; both end at the same decimal.

    An error below 1e-12 of the mean is the rounding of equal runs and reads "± 0".

    Args:
        mean: the value; None and NaN read "–".
        error: its standard error; None and NaN where it is not known.
        alone: how a mean reads that has no error, or none above 0.

    Example:
        >>> with_error(0.93124, 0.0021)
        '0.9312 ± 0.0021'
        >>> with_error(1.417511111111111, 1.6e-16)
        '1.418 ± 0'
        >>> with_error(54321.7, 123.4)
        '54322 ± 120'
    """
    if mean is None or math.isnan(mean):
        return NONE
    if error is None or not math.isfinite(error) or not math.isfinite(mean):
        return alone(mean)
    if error <= _ROUNDING * abs(mean):
        return f"{alone(mean)} ± 0"
    decimals = 1 - int(f"{error:.1e}".partition("e")[2])
    if mean != 0 and abs(mean) < 1e-4 and decimals > 7:
        power = math.floor(math.log10(abs(mean)))
        digits = max(0, power + decimals)
        return f"({mean / 10**power:.{digits}f} ± {error / 10**power:.{digits}f})e{power}"
    return f"{mean:.{max(0, decimals)}f} ± {round(error, decimals):.{max(0, decimals)}f}"
