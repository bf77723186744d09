"""When a sweep ends by itself: `plateau:30`, `target:0.05`, `regret:0.01`, `hypervolume:30`, `40gpuh`. Pure Python."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from raybayes.errors import SpecError
from raybayes.wording import unknown

NONE = "none"
STOP_RULES = {
    "plateau": "plateau:30 (finished trials without an improvement beyond the noise)",
    "target": "target:0.05 (the best value is at least as good)",
    "regret": "regret:0.01 (Optuna's bound on what is still to be gained is smaller)",
    "hypervolume": "hypervolume:30 (finished trials without a better Pareto front)",
}
COUNTS = ("plateau", "hypervolume")


@dataclass(frozen=True)
class StopRule:
    """One rule as it was written.

    Args:
        name: a key of `STOP_RULES`.
        number: trials, a value of the objective, or a bound on the regret.
        relation: of a target that says which side is good: "<=" or ">="; else "".
    """

    name: str
    number: float
    relation: str = ""

    def __str__(self) -> str:
        return f"{self.name}:{self.relation}{self.number:g}"


@dataclass(frozen=True)
class Budget:
    """Hours of CPUs or GPUs that a sweep may use, all its bursts together."""

    hours: float
    of: Literal["cpu", "gpu"]

    def __str__(self) -> str:
        return f"{self.hours:g}{self.of}h"


def parse_stop_rules(text: str) -> tuple[StopRule, ...]:
    """The rules, joined by commas; none for "none". Raises SpecError for what is not readable."""
    if text.strip() == NONE:
        return ()
    return tuple(_rule(part.strip()) for part in text.split(","))


def _rule(text: str) -> StopRule:
    name, _, tail = text.partition(":")
    if name not in STOP_RULES:
        found = unknown("stop rule", name, STOP_RULES, shown=[*STOP_RULES.values(), NONE])
        raise SpecError(f"stop_when: {found}")
    match = re.fullmatch(r"\s*(<=|>=)?\s*(\S+)\s*", tail)
    number = _number(match[2]) if match else math.nan
    relation = (match[1] or "") if match else ""
    counted = name in COUNTS and not (number >= 1 and number % 1 == 0)
    if not math.isfinite(number) or counted or (name == "regret" and number <= 0) or (relation and name != "target"):
        raise SpecError(f"stop_when: found {text!r}; write for example {STOP_RULES[name]}.")
    return StopRule(name, number, relation)


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def parse_budget(text: str) -> Budget:
    """`"40gpuh"` or `"40cpuh"`. Raises SpecError for anything else."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d*)?)\s*(cpu|gpu)h\s*", text)
    if match is None or float(match[1]) <= 0:
        raise SpecError(f"budget: found {text!r}; write hours of CPUs or GPUs: 40cpuh or 40gpuh.")
    return Budget(float(match[1]), "cpu" if match[2] == "cpu" else "gpu")


def stop_rules(value: Any) -> str:
    """The text of some rules, in one spelling; several may also be a list of texts."""
    text = ",".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)
    return ",".join(map(str, parse_stop_rules(text))) or NONE


def budget(value: Any) -> str | None:
    """The text of a budget, in one spelling; None: no budget ("none" takes it away again)."""
    return None if value in (None, NONE) else str(parse_budget(str(value)))
