"""How the sweeps of one cluster share it: by weight, and what one sweep cannot use goes to the others."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import ray
import ray.exceptions

from raybayes.clock import WALL, Clock
from raybayes.engine.controller.slot_limit import SlotLimit
from raybayes.engine.on_ray.connect import Node, alive_nodes
from raybayes.spec.sweep_spec import Resources

EVERY_S = 1.0  # between two claims of a sweep
SILENT_S = 15.0  # a sweep that has made no claim for so long is gone
LEDGER = "raybayes shares"  # the actor's name on the cluster
_EPS = 1e-9


@dataclass(frozen=True)
class ResourceClaim:
    """What a sweep claims of the cluster.

    Args:
        weight: two sweeps' shares have the ratio of their weights.
        need: resources of one slot.
        demand: how many slots it could use now.
    """

    weight: float
    need: Resources
    demand: int


@dataclass
class _Machine:
    """What is free on a node: CPU cores, and the free part of each GPU."""

    cpus: float
    gpus: list[float] = field(default_factory=list)

    @classmethod
    def whole(cls, node: Node) -> _Machine:
        return cls(node.cpus, [1.0] * int(node.gpus))

    def take(self, need: Resources) -> _Machine | None:
        """What is free with one more worker; None: it does not fit."""
        cpus, gpus, wanted = self.cpus - need.cpus_per_worker, sorted(self.gpus), need.gpus_per_worker
        if cpus < -_EPS:
            return None
        if 0 < wanted < 1:  # a fraction never spans two GPUs; the fullest one where it fits
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
    """What is free with one more slot, whose workers may be on several machines; None: it does not fit."""
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


def fair_slots(nodes: Sequence[Node], claims: Mapping[str, ResourceClaim]) -> dict[str, int]:
    """The number of slots of each sweep: weighted dominant-resource fairness, in whole slots.

    One slot after the other goes to the sweep that has the least for its weight, as long as it could use one that
    still fits. What a sweep has is its share of CPUs or of GPUs, whichever is larger (Ghodsi et al., "Dominant Resource
    Fairness", NSDI 2011, algorithm 1 with weights). Of equals the first comes first.
    """
    machines = [_Machine.whole(node) for node in nodes]
    cpus, gpus = sum(node.cpus for node in nodes), sum(int(node.gpus) for node in nodes)
    shares = {
        who: max(claim.need.cpus / cpus if cpus else 0.0, claim.need.gpus / gpus if gpus else 0.0) / claim.weight
        for who, claim in claims.items()
    }
    slots = dict.fromkeys(claims, 0)
    wanting = [who for who, claim in claims.items() if claim.demand > 0]
    while wanting:
        who = min(wanting, key=lambda each: slots[each] * shares[each])
        left = _with_slot(machines, claims[who].need)
        if left is not None:
            machines = left
            slots[who] += 1
        if left is None or slots[who] >= claims[who].demand:
            wanting.remove(who)
    return slots


class FairShareLedger:
    """The last claim of every sweep of a cluster; one actor per cluster.

    Args:
        nodes: returns the machines as they are now.
    """

    def __init__(self, nodes: Callable[[], Sequence[Node]] = alive_nodes, clock: Clock = WALL) -> None:
        self._nodes, self._clock = nodes, clock
        self._claims: dict[str, ResourceClaim] = {}
        self._claimed_at: dict[str, float] = {}

    def __repr__(self) -> str:
        """What Ray's dashboard and logs call this actor."""
        return "raybayes fair share"

    def update(self, who: str, claim: ResourceClaim) -> int:
        """Replace a sweep's claim; returns the number of slots that it may have now."""
        now = self._clock.elapsed()
        for other in [other for other, at in self._claimed_at.items() if now - at > SILENT_S]:
            self.remove(other)
        self._claims[who], self._claimed_at[who] = claim, now
        return fair_slots(self._nodes(), self._claims)[who]

    def remove(self, who: str) -> None:
        """Remove the claim of a sweep that is over."""
        self._claims.pop(who, None)
        self._claimed_at.pop(who, None)


class FairShareClient:
    """A sweep's side: renews its claim every second, and sets its slot limit to what is granted.

    The ledger lives as long as the controller that has made it. The others make a new one then, which knows all of
    them again after their next claims.

    Args:
        who: a name that no other sweep has.
        weight, need: of the sweep's claims.
        slot_limit: gets what is granted.
    """

    def __init__(self, who: str, weight: float, need: Resources, slot_limit: SlotLimit, clock: Clock = WALL) -> None:
        self._who, self._weight, self._need, self._clock = who, weight, need, clock
        self._slot_limit = slot_limit
        self._ledger: Any = None
        self._answer: Any = None
        self._claimed_at = -EVERY_S

    def renew(self, demand: int, wait_s: float = 0.0) -> None:
        """Take the answer to the last claim, if it has come, and make the next one when it is time.

        Args:
            wait_s: how long to wait for the answer.
        """
        now = self._clock.elapsed()
        if self._answer is None and now - self._claimed_at >= EVERY_S:
            self._claimed_at = now
            self._send_claim(demand)
        if self._answer is not None:
            self._take_answer(wait_s)
        if self._answer is not None and now - self._claimed_at > SILENT_S:  # its node is dead, say: make another
            self._answer = self._ledger = None

    def _send_claim(self, demand: int) -> None:
        try:
            if self._ledger is None:
                options = {"name": LEDGER, "namespace": "raybayes", "get_if_exists": True, "num_cpus": 0}
                self._ledger = ray.remote(FairShareLedger).options(**options).remote()
            self._answer = self._ledger.update.remote(self._who, ResourceClaim(self._weight, self._need, demand))
        except (ray.exceptions.RayError, ValueError):  # it has died, or its name has outlived it for a moment
            self._ledger = None

    def _take_answer(self, wait_s: float) -> None:
        ready, _ = ray.wait([self._answer], timeout=wait_s)
        if ready:
            try:
                self._slot_limit.granted = ray.get(self._answer)
            except ray.exceptions.RayError:
                self._ledger = None
            self._answer = None

    def leave(self) -> None:
        """Remove this sweep's claim: what it had is free for the others at once."""
        if self._ledger is not None:
            with contextlib.suppress(ray.exceptions.RayError):  # else the others notice by its silence
                # Waited for: the call of a process that ends at once may never be sent.
                ray.get(self._ledger.remove.remote(self._who), timeout=2.0)
