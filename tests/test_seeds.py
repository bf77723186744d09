"""Seeds: one rule for every draw, the same on every machine and for ever."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raybayes.clock import WALL, VirtualClock
from raybayes.seeds import derive

_parts = st.lists(st.integers() | st.text(st.characters(exclude_categories=["C"])), max_size=4)


def test_seeds_never_change():
    # Computed once with printf and sha256sum: another value here would change every sweep that was ever started.
    assert derive(0) == 3456079177858693020
    assert derive(0, "trial", 12, "repeat", 0) == 6756832189497245573
    assert derive(1, "sampler", 3) == 8189099688154548487


@given(st.integers(), _parts, st.integers(), _parts)
def test_different_places_have_different_seeds(one, here, other, there):
    equal = (one, [(type(p), p) for p in here]) == (other, [(type(p), p) for p in there])
    assert (derive(one, *here) == derive(other, *there)) == equal


@given(st.integers(), _parts)
def test_a_seed_has_63_bits(seed, where):
    assert 0 <= derive(seed, *where) < 2**63


def test_types_and_boundaries_count():
    assert len({derive(0, "a", 1), derive(0, "a1"), derive(0, "a", "1"), derive(0, 1, "a"), derive(0, "a", 1, "")}) == 5


def test_neighbouring_trials_have_unrelated_bits():
    bits = [bin(derive(0, "trial", n) ^ derive(0, "trial", n + 1)).count("1") for n in range(2000)]
    assert abs(sum(bits) / len(bits) - 31.5) < 6 * (63**0.5 / 2) / len(bits) ** 0.5


def test_the_wall_clock_runs_forwards():
    first, second = WALL.elapsed(), WALL.elapsed()
    assert second >= first
    assert WALL.now() > 1.7e9


def test_the_virtual_clock_stands_still_until_it_is_told():
    clock = VirtualClock(100.0)
    assert (clock.now(), clock.elapsed()) == (100.0, 100.0)
    clock.advance(3600.0)
    assert (clock.now(), clock.elapsed()) == (3700.0, 3700.0)
    with pytest.raises(ValueError, match=r"time cannot go back by 1.0 s"):
        clock.advance(-1.0)
    assert clock.now() == 3700.0
