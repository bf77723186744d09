"""As many slots as the machines have room for, by what trials turn out to take."""

import pytest

from raybayes.engine.controller.slot_limit import SlotLimit


@pytest.mark.parametrize(
    ("memory", "workers", "peak", "slots"),
    [
        ((), 1, 100.0, 8),  # memory does not count
        ((32.0,), 1, 0.0, 1),  # nothing seen yet
        ((32.0,), 1, 3.0, 8),
        ((32.0,), 1, 5.0, 6),
        ((32.0,), 1, 40.0, 1),  # one must run, whatever it takes
        ((10.0, 10.0), 1, 6.0, 2),  # a worker never spans machines
        ((10.0, 10.0, 10.0), 2, 6.0, 1),  # two workers of one trial may
        ((32.0,), 2, 5.0, 3),
    ],
)
def test_slots(memory, workers, peak, slots):
    slot_limit = SlotLimit(8, memory, workers)
    slot_limit.on_memory(peak)
    slot_limit.on_memory(peak / 2)
    assert slot_limit.slots == slots
