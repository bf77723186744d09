"""The pure parts of the benchmark: what is computed from time stamps, and how it is written down."""

import pyarrow.parquet as pq
import pytest

from benchmarks.measurement import SCHEMA, Machine, Sample, as_markdown, shown, summarise, write
from benchmarks.sweep_overhead.objective import read_stamps, timing, work
from benchmarks.sweep_overhead.suggestion import growth

MACHINE = Machine(2, "Linux x86_64", 0.5, 1.25, "python 3.11.7, ray 2.60.0", "2026-01-31")
SAMPLES = [
    Sample("a trial", "raybayes", 0.2, 0.9),
    Sample("a trial", "raybayes", 0.1, 0.7),
    Sample("a trial", "raybayes", 0.6, 0.8),
    Sample("a trial", "other", 0.05, 0.5),
    Sample("a trial", "other", 0.15, 0.6),
    Sample("start", "other", 1.5),
]


def test_medians_extremes_and_ratios_of_each_side():
    mine, other, alone = summarise(SAMPLES)
    assert (mine.side, mine.n, mine.median_s, mine.low_s, mine.high_s) == ("raybayes", 3, 0.2, 0.1, 0.6)
    assert (mine.ratio, mine.share) == (1.0, 0.8)
    assert other.median_s == pytest.approx(0.1)
    assert other.ratio == pytest.approx(2.0), "raybayes took twice as long"
    assert other.share == pytest.approx(0.55)
    assert (alone.claim, alone.ratio, alone.share) == ("start", None, None)


def test_the_table_and_the_page_say_the_same(tmp_path):
    rows = summarise(SAMPLES)
    page = write(tmp_path / "results", "overhead", "Title", "How.", rows, MACHINE)
    table = pq.read_table(tmp_path / "results" / "overhead.parquet")
    assert table.schema == SCHEMA
    assert table["median_s"].to_pylist() == [row.median_s for row in rows]
    assert table["load_after"].to_pylist() == [1.25] * 3
    assert (tmp_path / "results" / "overhead.md").read_text() == page


def test_the_page_has_a_table_a_claim_and_a_share_only_where_there_is_one():
    page = as_markdown("Title", "How.", summarise(SAMPLES), MACHINE)
    assert "load 0.50 before, 1.25 after" in page
    assert "| side | n | median | low | high | raybayes / side | in training |" in page
    assert "| raybayes | 3 | 200 ms | 100 ms | 600 ms | 1.00 | 80.0% |" in page
    assert "## start\n\n| side | n | median | low | high | raybayes / side |\n" in page
    assert "| other | 1 | 1.5 s | 1.5 s | 1.5 s |  |\n" in page


@pytest.mark.parametrize(
    ("seconds", "text"), [(12.34, "12.3 s"), (0.0456, "45.6 ms"), (7.5e-5, "75 µs"), (0.0, "0 µs")]
)
def test_times_are_shown_with_a_unit_that_fits(seconds, text):
    assert shown(seconds) == text


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
