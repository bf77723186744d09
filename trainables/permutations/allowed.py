"""Orders that a user allows: items at fixed places, and items that must come before others.

Every order is read as a list of preferences and turned into an allowed one: each place takes the first item of the list
that may stand there and leaves the rest possible. Allowed orders are left as they are, so none of them is out of reach,
and a cost of allowed orders becomes a cost of all orders.

References:
    Simons, A fast algorithm for single processor scheduling, FOCS 1978; for jobs of one unit, release and due dates
    that respect the precedences decide by counting whether a schedule exists (Hall's condition on intervals).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from raybayes.errors import SpecError


class Allowed:
    """The orders of n items that respect fixed places and precedences.

    Args:
        n: items.
        fixed: item -> its place.
        before: pairs (a, b): a comes before b, not necessarily at once.

    Raises:
        SpecError: unknown items or places, a cycle, or demands that no order meets.
    """

    def __init__(self, n: int, fixed: Mapping[int, int], before: Iterable[tuple[int, int]]) -> None:
        self.n = n
        self._after = torch.zeros(n, n, dtype=torch.long)
        for first, second in before:
            self._after[first, second] = 1
        self._release, self._due = torch.zeros(n, dtype=torch.long), torch.full((n,), n - 1)
        for item, place in fixed.items():
            self._release[item] = self._due[item] = place
        self._tighten()
        self._require_possible()

    def _tighten(self) -> None:
        """Earliest and latest places that the precedences leave."""
        line = self._line()
        for item in line:
            later = self._after[item].nonzero().flatten()
            self._release[later] = torch.maximum(self._release[later], self._release[item] + 1)
        for item in reversed(line):
            later = self._after[item].nonzero().flatten()
            if len(later):
                self._due[item] = min(int(self._due[item]), int(self._due[later].min()) - 1)

    def _line(self) -> list[int]:
        """The items, each after those that must precede it."""
        waits, line = self._after.sum(0), []
        ready = [item for item in range(self.n) if waits[item] == 0]
        while ready:
            item = ready.pop()
            line.append(item)
            for later in self._after[item].nonzero().flatten().tolist():
                waits[later] -= 1
                if waits[later] == 0:
                    ready.append(later)
        if len(line) < self.n:
            stuck = [item for item in range(self.n) if item not in line]
            raise SpecError(f"before has a cycle among the items {stuck}; remove one of its pairs.")
        return line

    def _require_possible(self) -> None:
        for start in range(self.n):
            inside = self._release >= start
            count = torch.bincount(self._due[inside].clamp(min=0), minlength=self.n).cumsum(0)
            over = (count > torch.arange(1, self.n + 1) - start) & (count > 0)
            if over.any():
                end = int(over.nonzero()[0])
                items = (inside & (self._due <= end)).nonzero().flatten().tolist()
                raise SpecError(
                    f"fixed and before cannot both hold: the items {items} would share the places {start} to {end};"
                    f" remove one of them."
                )

    def __call__(self, order: Tensor) -> Tensor:
        """The allowed orders (..., n) of orders (..., n); those that are allowed already come back unchanged."""
        rows = order.reshape(-1, self.n)
        count, device = len(rows), order.device
        release, due, after = (part.to(device) for part in (self._release, self._due, self._after))
        at, places = torch.arange(count, device=device), torch.arange(self.n, device=device)
        rank = torch.empty_like(rows).scatter_(1, rows, places.expand_as(rows))
        waits, left = after.sum(0).repeat(count, 1), torch.ones(count, self.n, dtype=torch.bool, device=device)
        unplaced = torch.bincount(due, minlength=self.n).cumsum(0).repeat(count, 1)  # by due place
        result = torch.empty_like(rows)
        for place in range(self.n):
            full = unplaced[:, place:] == places[place:] - place + 1  # these due places need every place up to them
            latest = torch.where(full.any(1), place + full.long().argmax(1), self.n - 1)
            open_ = left & (waits == 0) & (release <= place) & (due <= latest.unsqueeze(1))
            item = torch.where(open_, rank, self.n).argmin(1)
            result[:, place], left[at, item] = item, False
            waits -= after[item]
            unplaced -= (places >= due[item].unsqueeze(1)).long()
        return result.reshape(order.shape)


def allowed_orders(n: int, fixed: Any, before: Any) -> Allowed | None:
    """The orders that a caller's `fixed` and `before` leave; None: all.

    Raises:
        SpecError: one of them is no such argument; see also `Allowed`.
    """
    places, pairs = _fixed(n, fixed), _before(n, before)
    return Allowed(n, places, pairs) if places or pairs else None


def _fixed(n: int, fixed: Any) -> dict[int, int]:
    if fixed is None:
        return {}
    if not isinstance(fixed, Mapping):
        raise SpecError(f"found fixed = {fixed!r}; it must map items to their places, e.g. {{0: 3}}.")
    places = {_index(n, "fixed", item): _index(n, "fixed", place) for item, place in fixed.items()}
    taken = list(places.values())
    if twice := [place for place in taken if taken.count(place) > 1]:
        raise SpecError(f"fixed puts several items at place {twice[0]}; a place holds one item.")
    return places


def _before(n: int, before: Any) -> list[tuple[int, int]]:
    if before is None:
        return []
    try:
        pairs = [(first, second) for first, second in before]
    except (TypeError, ValueError):
        raise SpecError(f"found before = {before!r}; it must list pairs (a, b), a before b, e.g. [(0, 3)].") from None
    found = [(_index(n, "before", first), _index(n, "before", second)) for first, second in pairs]
    if same := [first for first, second in found if first == second]:
        raise SpecError(f"before asks item {same[0]} to come before itself; remove that pair.")
    return found


def _index(n: int, name: str, value: Any) -> int:
    number = getattr(value, "__index__", None)
    found = -1 if number is None or isinstance(value, bool) else int(number())
    if not 0 <= found < n:
        raise SpecError(f"found {value!r} in {name}; items and places are whole numbers from 0 to {n - 1}.")
    return found
