"""Searches for tours that use the distances between cities: iterated 2-opt and Or-opt, 2-opt, nearest neighbour, LKH.

Distances need not be symmetric: moves that turn a part of the tour round are then left out, or priced with its legs in
the other direction. An exchange that is tried counts as one evaluation, although it looks up a few legs only.
"""

from __future__ import annotations

import importlib.util
import random
from collections import deque
from collections.abc import Sequence

import torch
from torch import Tensor

from trainables.permutations.tasks.searches import Found

NEAR = 10  # neighbours of a city among which an exchange looks for a shorter leg
LONGEST = 3  # cities of a segment that Or-opt moves
BRIDGE = 30  # cities of the longest segment that a kick exchanges with the next
LEAST = 1e-9  # what counts as shorter


def local_search(
    distance: Tensor, starts: Tensor, budget: Sequence[int], generator: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Iterated local search by 2-opt (symmetric distances) and Or-opt: lengths (R,) and tours (R, n) of R runs.

    Both look only at exchanges that give a city a leg to one of its 10 nearest, and only at cities whose legs have
    changed. At a local optimum two neighbouring segments of the best tour change places (a double bridge), and the
    result is kept if it is no longer.

    Args:
        distance: (n, n); entry i, j is the leg from i to j.
        starts: (R, n), a tour of all cities for each run.
        budget: exchanges that each run tries.

    References:
        Johnson, McGeoch, The traveling salesman problem: a case study in local optimization, 1997.
    """
    walks = []
    for start, evaluations in zip(starts.tolist(), budget, strict=True):
        seed = int(torch.randint(2**62, (1,), generator=generator))
        walk = _Walk(distance, start, evaluations, random.Random(seed))
        walk.search()
        walks.append(walk)
    tours = torch.tensor([walk.best for walk in walks])
    return distance[tours, tours.roll(-1, -1)].sum(-1), tours


class _Walk:
    """One tour under local search: its cities by place, and the place of each city."""

    def __init__(self, distance: Tensor, start: list[int], budget: int, luck: random.Random) -> None:
        self.d: list[list[float]] = distance.tolist()
        self.back: list[list[float]] = distance.T.tolist()
        self.n, self.left, self.luck = len(start), budget, luck
        self.symmetric = torch.equal(distance, distance.T)
        far = distance + torch.diag(torch.full((self.n,), torch.inf, dtype=distance.dtype))
        count = min(NEAR, self.n - 1)
        self.onward: list[list[int]] = far.topk(count, 1, largest=False).indices.tolist()
        self.inward: list[list[int]] = far.T.topk(count, 1, largest=False).indices.tolist()
        self.tour, self.best = list(start), list(start)
        self.place = [0] * self.n
        self._settle()

    def search(self) -> None:
        """Descend and kick until the budget is spent."""
        changed, gain = deque(self.luck.sample(range(self.n), self.n)), 0.0
        while self.left > 0:
            while changed and self.left > 0:
                city = changed.popleft()
                while (found := self._improve(city)) is not None and self.left > 0:
                    gain += found[0]
                    changed.extend(found[1])
            if gain >= -LEAST:
                self.best = list(self.tour)
            else:
                self.tour = list(self.best)
                self._settle()
            if self.left > 0:
                self.left -= 1
                loss, ends = self._kick()
                gain, changed = -loss, deque(ends)

    def _settle(self) -> None:
        for place, city in enumerate(self.tour):
            self.place[city] = place

    def _improve(self, city: int) -> tuple[float, list[int]] | None:
        """Make the first exchange at this city that shortens the tour: by how much, and the cities with new legs."""
        return (self._two_opt(city) if self.symmetric else None) or self._or_opt(city)

    def _two_opt(self, a: int) -> tuple[float, list[int]] | None:
        """Replace a leg at city a, and another one, by turning round what lies between."""
        for step in (1, -1):
            b = self.tour[(self.place[a] + step) % self.n]
            for c in self.onward[a]:
                saved = self.d[a][b] - self.d[a][c]
                if saved <= 0 or self.left <= 0:
                    break
                e = self.tour[(self.place[c] + step) % self.n]
                self.left -= 1
                gain = saved + self.d[c][e] - self.d[b][e]
                if gain > LEAST:
                    self._reverse(*((self.place[b], self.place[c]) if step == 1 else (self.place[c], self.place[b])))
                    return gain, [a, b, c, e]
        return None

    def _reverse(self, first: int, last: int) -> None:
        """Turn round the cities from one place to the other, or, which is the same tour, all others."""
        if first > last:
            first, last = last + 1, first - 1
        self.tour[first : last + 1] = self.tour[first : last + 1][::-1]
        for place in range(first, last + 1):
            self.place[self.tour[place]] = place

    def _or_opt(self, a: int) -> tuple[float, list[int]] | None:
        """Move a segment that begins or ends with city a next to one of a's neighbours."""
        for length in range(1, min(LONGEST, self.n - 3) + 1):
            for begins in (True, False) if length > 1 or not self.symmetric else (True,):
                first = (self.place[a] - (0 if begins else length - 1)) % self.n
                found = self._move_segment(a, [self.tour[(first + k) % self.n] for k in range(length)], begins)
                if found is not None:
                    return found
        return None

    def _move_segment(self, a: int, segment: list[int], begins: bool) -> tuple[float, list[int]] | None:
        before = self.tour[self.place[segment[0]] - 1]
        after = self.tour[(self.place[segment[-1]] + 1) % self.n]
        d, other = self.d, segment[-1] if begins else segment[0]
        saved = d[before][segment[0]] + d[segment[-1]][after] - d[before][after]
        legs, near = (self.back[a], self.inward[a]) if begins else (d[a], self.onward[a])
        for c in near:  # c comes before the segment if a begins it, and after it otherwise
            if legs[c] >= saved or self.left <= 0:
                break
            if c in segment:
                continue
            for turned in (False, True) if self.symmetric else (False,):
                ahead = begins != turned  # whether c comes before the segment
                e = self.tour[(self.place[c] + (1 if ahead else -1)) % self.n]
                if e in segment:
                    continue
                self.left -= 1
                joins = d[other][e] - d[c][e] if ahead else d[e][other] - d[e][c]
                gain = saved - legs[c] - joins
                if gain > LEAST:
                    self._insert(segment[::-1] if turned else segment, c if ahead else e)
                    return gain, [before, after, c, e, a, other]
        return None

    def _insert(self, segment: list[int], ahead: int) -> None:
        """Put the cities of a segment after the city `ahead`."""
        moved = set(segment)
        rest = [city for city in self.tour if city not in moved]
        at = rest.index(ahead) + 1
        self.tour = rest[:at] + segment + rest[at:]
        self._settle()

    def _kick(self) -> tuple[float, list[int]]:
        """Exchange two neighbouring segments: by how much the tour is longer, and the cities with new legs."""
        n, longest = self.n, max(1, min(BRIDGE, (self.n - 1) // 3))
        turn, one, two = self.luck.randrange(n), self.luck.randint(1, longest), self.luck.randint(1, longest)
        tour = self.tour[turn:] + self.tour[:turn]
        ends = [tour[0], tour[1], tour[one], tour[one + 1], tour[one + two], tour[(one + two + 1) % n]]
        a, b, c, e, f, g = ends
        self.tour = tour[:1] + tour[one + 1 : one + two + 1] + tour[1 : one + 1] + tour[one + two + 1 :]
        self._settle()
        d = self.d
        return d[a][e] + d[f][b] + d[c][g] - d[a][b] - d[c][e] - d[f][g], ends


def two_opt(distance: Tensor, budget: int, runs: int, generator: torch.Generator) -> Found:
    """2-opt from random tours, restarted until the budget is spent.

    Exchanges are tried in random order, n at a time, and the best of those is made if it helps.
    """
    n = len(distance)
    best = torch.full((runs,), torch.inf, dtype=torch.float64)
    orders = torch.zeros(runs, n, dtype=torch.long)
    low, high = torch.triu_indices(n, n, 1)
    low, high = low[(high - low < n - 1)], high[(high - low < n - 1)]  # reversing the whole tour changes nothing
    for run in range(runs):
        used = 0
        while used + 1 <= budget:
            tour = torch.rand(n, generator=generator).argsort()
            used += 1
            fruitless = 0
            while fruitless < len(low) and used < budget:
                shuffled = torch.rand(len(low), generator=generator).argsort()
                for block in shuffled.split(n):
                    part = block[: budget - used]
                    if len(part) == 0 or fruitless >= len(low):
                        break
                    used += len(part)
                    fruitless = 0 if _exchange(tour, distance, low[part], high[part]) else fruitless + len(part)
            length = float(distance[tour, tour.roll(-1)].sum())
            if length < best[run]:
                best[run], orders[run] = length, tour
    return Found(best, orders, budget)


def _exchange(tour: Tensor, distance: Tensor, low: Tensor, high: Tensor) -> bool:
    """Reverse, in place, the segment low .. high that shortens the tour most; returns whether there was one."""
    a, b, c, d = tour[low - 1], tour[low], tour[high], tour[(high + 1) % len(tour)]
    ahead, back = distance[tour[:-1], tour[1:]], distance[tour[1:], tour[:-1]]
    longer = torch.nn.functional.pad((back - ahead).cumsum(0), (1, 0))  # 0 where distances are symmetric
    inside = longer[high] - longer[low]
    value, where = (distance[a, b] + distance[c, d] - distance[a, c] - distance[b, d] - inside).max(0)
    if value <= LEAST:
        return False
    i, j = int(low[where]), int(high[where])
    tour[i : j + 1] = tour[i : j + 1].flip(0)
    return True


def nearest_neighbour(distance: Tensor, start: int) -> Tensor:
    """The greedy tour (n,) from a city: always on to the nearest city that is left."""
    left, tour = torch.ones(len(distance), dtype=torch.bool), [start]
    left[start] = False
    while len(tour) < len(distance):
        tour.append(int(torch.where(left, distance[tour[-1]], torch.inf).argmin()))
        left[tour[-1]] = False
    return torch.tensor(tour)


def lin_kernighan(distance: Tensor) -> Tensor | None:
    """The tour (n,) of Helsgaun's LKH, which knows all distances; None where elkai is not installed.

    References:
        Helsgaun, An effective implementation of the Lin-Kernighan traveling salesman heuristic, 2000.
    """
    if importlib.util.find_spec("elkai") is None:
        return None
    import elkai

    whole = torch.equal(distance, distance.round())
    tour = elkai.DistanceMatrix((distance.long() if whole else distance).tolist()).solve_tsp()
    return torch.tensor(tour[:-1])
