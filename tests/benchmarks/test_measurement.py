"""What is computed from the samples of a benchmark, and how it is written down."""

import pyarrow.parquet as pq
import pytest

from benchmarks.measurement import SCHEMA, Machine, Sample, as_markdown, shown, summarise, write

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
