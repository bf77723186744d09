"""Where the time of a sweep's slots went, summed over jobs."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from raybayes.store.profile import PARTS

MOST_SLOTS = 24


def shares(profile: pa.Table) -> pa.Table:
    """Part of the slots' time that went into each thing.

    Args:
        profile: one row a job (`raybayes.store.profile.SCHEMA`).

    Returns:
        A row for all slots together, then one a slot, or one a node where there are more than 24 slots. Columns: slot
        ("all", or its number or node), node, jobs, seconds, and a share in [0, 1] of those for each part.
    """
    few = len(pc.unique(profile["slot"])) <= MOST_SLOTS
    groups = [("all", "", profile)]
    for value in sorted(pc.unique(profile["slot" if few else "node"]).to_pylist()):
        rows = profile.filter(pc.equal(profile["slot" if few else "node"], value))
        groups.append((str(value), rows["node"][0].as_py(), rows))
    return pa.Table.from_pylist([_row(name, node, rows) for name, node, rows in groups if len(rows)])


def _row(name: str, node: str, rows: pa.Table) -> dict[str, object]:
    sums = {part: float(pc.sum(rows[part]).as_py()) for part in PARTS}
    total = sum(sums.values())
    return {
        "slot": name,
        "node": node,
        "jobs": len(rows),
        "seconds": total,
        **{part: seconds / total if total else 0.0 for part, seconds in sums.items()},
    }
