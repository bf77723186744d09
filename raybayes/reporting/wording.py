"""Numbers, times and messages as people read them; the same in tables, figures and pages."""

from __future__ import annotations

import math
from typing import Any

from rich.cells import cell_len, set_cell_size

NONE = "–"
WORDS = {"COMPLETE": "complete", "PRUNED": "pruned", "FAIL": "failed", "RUNNING": "running", "PAUSED": "paused"}


def number(value: float | None, digits: int = 4) -> str:
    """A number to `digits` significant digits, as short as it goes; "–" for none."""
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


def value_text(value: Any) -> str:
    """A parameter's value in a table."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if value is None or isinstance(value, int | float):
        return number(value)
    return str(value)


def with_error(mean: float, error: float = math.nan) -> str:
    """A mean with its standard error, to the digits that the error leaves: "0.9312 ± 0.0021"; "–" for none."""
    if math.isnan(mean):
        return NONE
    if not math.isfinite(error) or not math.isfinite(mean):
        return _padded(mean)
    if error == 0:
        return f"{_padded(mean)} ± 0"
    scale = math.floor(math.log10(error))
    decimals = 1 - scale
    if decimals > 7:
        power = math.floor(math.log10(abs(mean))) if mean else scale
        digits = max(0, power + decimals)
        return f"({mean / 10**power:.{digits}f} ± {error / 10**power:.{digits}f})e{power}"
    return f"{mean:.{max(0, decimals)}f} ± {error:.{max(0, decimals)}f}"


def _padded(value: float) -> str:
    """To four significant digits, zeros kept, so that a column of results lines up."""
    if value == 0 or not math.isfinite(value) or not 1e-4 <= abs(value) < 1e6:
        return number(value)
    return f"{value:.{max(0, 3 - math.floor(math.log10(abs(value))))}f}"


def duration(seconds: float | None) -> str:
    """Seconds as "0.3 s", "42 s", "3 m 07 s", "2 h 05 m" or "3 d 04 h"; "–" for none."""
    if seconds is None or not math.isfinite(seconds):
        return NONE
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} m {whole % 60:02d} s"
    minutes = round(seconds / 60)
    if minutes < 24 * 60:
        return f"{minutes // 60} h {minutes % 60:02d} m"
    hours = round(seconds / 3600)
    return f"{hours // 24} d {hours % 24:02d} h"


def one_line(text: str | None) -> str:
    """What went wrong: the first line of an error, the last one of a bare traceback; "" for none."""
    lines = [line.strip() for line in (text or "").splitlines() if line.strip()]
    if not lines:
        return ""
    return lines[-1] if lines[0].startswith("Traceback") else lines[0]


def shortened(text: str, width: int) -> str:
    """A text in at most `width` cells of a terminal, with "…" where it was cut."""
    return text if cell_len(text) <= width else set_cell_size(text, width - 1).rstrip() + "…"
