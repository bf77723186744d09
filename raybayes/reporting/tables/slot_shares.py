"""The profile of a sweep as a table: how each slot spent its time, summed over runs."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.compute as pc

from raybayes.store.logs.profile import PARTS

MOST_SLOTS = 24


def slot_shares(profile: pa.Table) -> pa.Table:
    """The share of the slots' time per part.

    Args:
        profile: one row per run (`raybayes.store.logs.profile.SCHEMA`).

    Returns:
        A row for all slots together, then one per slot, or one per node if there are more than 24 slots. Columns: slot
        ("all", or its number or node), node, jobs, seconds, and per part its share in [0, 1] of the seconds.
    """
    groups = {name: pa.concat_tables(members) for name, members in group_by_slot(profile).items()}
    rows = [_row(name, members["node"][0].as_py(), members) for name, members in groups.items()]
    return pa.Table.from_pylist([_row("all", "", profile), *rows] if rows else [])


def group_by_slot(profile: pa.Table) -> dict[str, list[pa.Table]]:
    """The runs of each slot, by its number; if there are more than 24, of the slots of each node, by its name."""
    few = len(pc.unique(profile["slot"])) <= MOST_SLOTS
    groups: dict[str, list[pa.Table]] = {}
    for slot in sorted(pc.unique(profile["slot"]).to_pylist()):
        rows = profile.filter(pc.equal(profile["slot"], slot))
        groups.setdefault(str(slot) if few else rows["node"][0].as_py(), []).append(rows)
    return groups if few else dict(sorted(groups.items()))


def to_percent(shares: pa.Table) -> pa.Table:
    """The table of `slot_shares` with seconds, and percent of them, to one decimal."""
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
