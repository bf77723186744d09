"""What is computed from the time stamps of a sweep's trials."""

import pytest

from benchmarks.sweep_overhead.objective import read_stamps, timing, work
from benchmarks.sweep_overhead.suggestion import growth


def test_timing_of_two_slots():
    # Two slots, four trials of 1 s; the second slot starts 0.5 s late and idles 0.5 s between its trials.
    found = timing([(10.0, 11.0), (10.5, 11.5), (11.0, 12.0), (12.0, 13.0)])
    assert (found.trials, found.window_s, found.busy_s) == (4, 3.0, 4.0)
    assert found.seconds_a_trial == 0.75
    assert found.between_s == pytest.approx(2.0 / 3)
    assert found.share(2) == pytest.approx(4 / 6)


def test_one_trial_says_nothing_about_the_time_between_trials():
    with pytest.raises(ValueError, match="1 trials left a time stamp"):
        timing([(0.0, 1.0)])


def test_work_leaves_one_stamp_a_trial_in_order(tmp_path):
    stamps = tmp_path / "stamps"
    assert work(0.0, 0.1, 0.0, str(stamps)) == 0.0
    assert work(0.5, 0.01, 0.01, str(stamps)) == pytest.approx(0.25 + 1.0)
    (first, second) = read_stamps(stamps)
    assert first[0] <= first[1] <= second[0]
    assert second[1] - second[0] >= 0.01


def test_growth_finds_the_slope_and_ignores_hiccups():
    seconds = [0.001 + 2e-5 * number for number in range(200)]
    seconds[50] = 3.0
    assert growth(seconds) == pytest.approx(2e-3)
    assert growth([0.004] * 100) == pytest.approx(0.0)
