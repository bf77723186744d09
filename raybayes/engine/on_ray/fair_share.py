"""How the sweeps of one cluster share it: by weight, and what one cannot use goes to the others."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
import ray.exceptions

from raybayes.clock import WALL, Clock
from raybayes.engine.controller.slot_limit import SlotLimit
from raybayes.engine.on_ray.connect import Node, alive
from raybayes.spec.sweep_spec import Resources

EVERY_S = 1.0  # between two words of a sweep
SILENT_S = 15.0  # a sweep that has said nothing for so long is gone
_EPS = 1e-9


@dataclass(frozen=True)
class ResourceClaim:
    """What a sweep says of itself.

    Args:
        weight: its share of the cluster is to that of another as their weights are.
        need: of one slot.
        demand: slots that it could use now.
    """

    weight: float
    need: Resources
    demand: int


@dataclass
class _Machine:
    """What is left of a node: CPU cores, and the free part of each GPU."""

    cpus: float
    gpus: list[float] = field(default_factory=list)

    @classmethod
    def whole(cls, node: Node) -> _Machine:
        return cls(node.cpus, [1.0] * int(node.gpus))

    def take(self, need: Resources) -> _Machine | None:
        """What is left with one more worker; None: it does not fit."""
        cpus, gpus, wanted = self.cpus - need.cpus_per_worker, sorted(self.gpus), need.gpus_per_worker
        if cpus < -_EPS:
            return None
        if 0 < wanted < 1:  # a fraction never spans two GPUs; the fullest one that has room
            place = next((i for i, free in enumerate(gpus) if free >= wanted - _EPS), None)
            if place is None:
                return None
            gpus[place] -= wanted
        elif wanted:
            count = round(wanted)
            if sum(free >= 1 - _EPS for free in gpus) < count:
                return None
            gpus = gpus[: len(gpus) - count]
        return _Machine(cpus, gpus)


def _with_slot(machines: Sequence[_Machine], need: Resources) -> list[_Machine] | None:
    """What is left with one more slot; a slot's workers may be on several machines. None: it does not fit."""
    left = list(machines)
    for _ in range(need.workers):
        for place, machine in enumerate(left):
            taken = machine.take(need)
            if taken is not None:
                left[place] = taken
                break
        else:
            return None
    return left


def fair(nodes: Sequence[Node], claims: Mapping[str, ResourceClaim]) -> dict[str, int]:
    """The number of slots of each sweep: weighted dominant-resource fairness, in whole slots.

    One slot after the other goes to the sweep that has the least for its weight, as long as it has use for one that
    still fits. A sweep's part is that of the resource, CPUs or GPUs, of which it has the larger part
    (Ghodsi et al., "Dominant Resource Fairness", NSDI 2011, algorithm 1 with weights). Of equals the first comes first.
    """
    machines = [_Machine.whole(node) for node in nodes]
    cpus, gpus = sum(node.cpus for node in nodes), sum(int(node.gpus) for node in nodes)
    parts = {
        who: max(claim.need.cpus / cpus if cpus else 0.0, claim.need.gpus / gpus if gpus else 0.0) / claim.weight
        for who, claim in claims.items()
    }
    slots = dict.fromkeys(claims, 0)
    wanting = [who for who, claim in claims.items() if claim.demand > 0]
    while wanting:
        who = min(wanting, key=lambda each: slots[each] * parts[each])
        left = _with_slot(machines, claims[who].need)
        if left is not None:
            machines = left
            slots[who] += 1
        if left is None or slots[who] >= claims[who].demand:
            wanting.remove(who)
    return slots


class FairShareLedger:
    """What the sweeps of a cluster have said last; one actor of the cluster.

    Args:
        nodes: gives the machines as they are now.
    """

    def __init__(self, nodes: Callable[[], Sequence[Node]] = alive, clock: Clock = WALL) -> None:
        self._nodes, self._clock = nodes, clock
        self._claims: dict[str, ResourceClaim] = {}
        self._heard: dict[str, float] = {}

    def __repr__(self) -> str:
        """What Ray's dashboard and logs call this actor."""
        return "raybayes shares"

    def say(self, who: str, claim: ResourceClaim) -> int:
        """A sweep's claim now; the number of slots it may have."""
        now = self._clock.elapsed()
        for other in [other for other, heard in self._heard.items() if now - heard > SILENT_S]:
            self.leave(other)
        self._claims[who], self._heard[who] = claim, now
        return fair(self._nodes(), self._claims)[who]

    def leave(self, who: str) -> None:
        """A sweep is over."""
        self._claims.pop(who, None)
        self._heard.pop(who, None)


class FairShareClient:
    """A sweep's side: says its claim every second, and keeps its room to what is granted. Never waits, but at first.

    The actor lives as long as the desk that has made it. The others make a new one then, which knows all of them again
    after their next words.

    Args:
        who: a name that no other sweep has.
    """

    def __init__(self, who: str, weight: float, need: Resources, slot_limit: SlotLimit, clock: Clock = WALL) -> None:
        self._who, self._weight, self._need, self._room, self._clock = who, weight, need, slot_limit, clock
        self._shares: Any = None
        self._answer: Any = None
        self._said = -EVERY_S

    def renew(self, demand: int, wait_s: float = 0.0) -> None:
        """Take the answer to the last claim, if it is there, and make the next one when it is time."""
        now = self._clock.elapsed()
        if self._answer is None and now - self._said >= EVERY_S:
            self._said = now
            self._claim(demand)
        if self._answer is not None:
            self._hear(wait_s)
        if self._answer is not None and now - self._said > SILENT_S:  # its node is dead, say: another one, from anew
            self._answer = self._shares = None

    def _claim(self, demand: int) -> None:
        try:
            if self._shares is None:
                options = {"name": "raybayes shares", "namespace": "raybayes", "get_if_exists": True, "num_cpus": 0}
                self._shares = ray.remote(FairShareLedger).options(**options).remote()
            self._answer = self._shares.say.remote(self._who, ResourceClaim(self._weight, self._need, demand))
        except (ray.exceptions.RayError, ValueError):  # it has died, or its name has outlived it for a moment
            self._shares = None

    def _hear(self, wait_s: float) -> None:
        ready, _ = ray.wait([self._answer], timeout=wait_s)
        if ready:
            try:
                self._room.granted = ray.get(self._answer)
            except ray.exceptions.RayError:
                self._shares = None
            self._answer = None

    def end(self) -> None:
        """The sweep is over: what it had is free for the others at once."""
        if self._shares is not None:
            with contextlib.suppress(ray.exceptions.RayError):  # else they notice by its silence
                # Waited for: the word of a process that ends at once may never be sent.
                ray.get(self._shares.leave.remote(self._who), timeout=2.0)
