"""Where the slots' time went: kept line by line, read whole or torn, and summed."""

import pytest

from raybayes.clock import VirtualClock
from raybayes.reporting.tables.slot_shares import slot_shares
from raybayes.store.filesystem import open_storage
from raybayes.store.layout import Layout
from raybayes.store.logs.profile import PARTS, SCHEMA, ProfileLog, read_profile


@pytest.fixture
def layout(tmp_path):
    return Layout(open_storage(str(tmp_path)).child("s"))


def row(slot, trial, node="n", **seconds):
    place = {"slot": slot, "node": node, "trial": trial, "repeat": 0, "ended": float(trial)}
    return {**place, **dict.fromkeys(PARTS, 0.0), **seconds}


def test_rows_are_there_after_a_second_and_a_torn_line_is_ignored(layout):
    clock = VirtualClock()
    log = ProfileLog(layout, 0, clock)
    log.append(row(1, 0, training=2.0))
    assert len(read_profile(layout)) == 0
    clock.advance(1.5)
    log.append(row(1, 1, training=3.0))
    found = read_profile(layout)
    assert found.schema == SCHEMA
    assert found["training"].to_pylist() == [2.0, 3.0]
    path = layout.storage.local_path(layout.profile(0))
    path.write_bytes(path.read_bytes()[:-9])
    later = ProfileLog(layout, 1, clock)
    later.append(row(2, 2))
    later.flush()
    assert read_profile(layout)["trial"].to_pylist() == [0, 2]


def test_a_disk_that_refuses_costs_nothing_but_the_profile(layout):
    layout.storage.write_bytes(layout.profiles, b"a file where the folder should be")
    log = ProfileLog(layout, 0)
    log.append(row(1, 0))
    log.flush()


def test_shares_of_all_and_of_each_slot(layout):
    log = ProfileLog(layout, 0)
    log.append(row(1, 0, training=6.0, asking=1.0, idle=1.0))
    log.append(row(1, 1, training=2.0, starting=2.0))
    log.append(row(2, 2, training=8.0))
    log.flush()
    rows = slot_shares(read_profile(layout)).to_pylist()
    assert [(r["slot"], r["jobs"], r["seconds"], r["training"]) for r in rows] == [
        ("all", 3, 20.0, 0.8), ("1", 2, 12.0, pytest.approx(8 / 12)), ("2", 1, 8.0, 1.0)
    ]  # fmt: skip
    assert all(sum(r[part] for part in PARTS) == pytest.approx(1.0) for r in rows)


def test_many_slots_are_summed_by_node(layout):
    log = ProfileLog(layout, 0)
    for slot in range(30):
        log.append(row(slot, slot, node=f"n{slot % 2}", training=1.0))
    log.flush()
    assert [(r["slot"], r["jobs"]) for r in slot_shares(read_profile(layout)).to_pylist()] == [
        ("all", 30), ("n0", 15), ("n1", 15)
    ]  # fmt: skip


def test_nothing_yet(layout):
    assert len(slot_shares(read_profile(layout))) == 0
