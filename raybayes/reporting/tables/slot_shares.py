"""Where the time of a sweep's slots went, summed over jobs."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from raybayes.store.logs.profile import PARTS

MOST_SLOTS = 24


def shares(profile: pa.Table) -> pa.Table:
    """Part of the slots' time that went into each thing.

    Args:
        profile: one row a job (`raybayes.store.logs.profile.SCHEMA`).

    Returns:
        A row for all slots together, then one a slot, or one a node where there are more than 24 slots. Columns: slot
        ("all", or its number or node), node, jobs, seconds, and a share in [0, 1] of those for each part.
    """
    groups = {name: pa.concat_tables(members) for name, members in by_slot(profile).items()}
    rows = [_row(name, members["node"][0].as_py(), members) for name, members in groups.items()]
    return pa.Table.from_pylist([_row("all", "", profile), *rows] if rows else [])


def by_slot(profile: pa.Table) -> dict[str, list[pa.Table]]:
    """The jobs of each slot by its number; where there are more than 24, those of each node's slots by its name."""
    few = len(pc.unique(profile["slot"])) <= MOST_SLOTS
    groups: dict[str, list[pa.Table]] = {}
    for slot in sorted(pc.unique(profile["slot"]).to_pylist()):
        rows = profile.filter(pc.equal(profile["slot"], slot))
        groups.setdefault(str(slot) if few else rows["node"][0].as_py(), []).append(rows)
    return groups if few else dict(sorted(groups.items()))


def in_percent(shares: pa.Table) -> pa.Table:
    """What `shares` returns, as people read it: seconds, and percent of them, to one decimal."""
    percents = {f"{part} %": [round(100 * share, 1) for share in shares[part].to_pylist()] for part in PARTS}
    seconds = [round(seconds, 1) for seconds in shares["seconds"].to_pylist()]
    return pa.table({"slot": shares["slot"], "jobs": shares["jobs"], "seconds": seconds, **percents})


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
