import math

import pytest
from rich.cells import cell_len

from raybayes.reporting.wording import duration, number, one_line, shortened, value_text, with_error


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0"),
        (0, "0"),
        (12, "12"),
        (1234567, "1234567"),
        (0.1 + 0.2, "0.3"),
        (93.25499, "93.25"),
        (0.00123456, "0.001235"),
        (1.5e-5, "1.5e-5"),
        (1e-5, "1e-5"),
        (-2.5e9, "-2.5e9"),
        (123456.7, "123457"),
        (1e300, "1e300"),
        (math.inf, "inf"),
        (math.nan, "nan"),
        (99.99999, "100"),
    ],
)
def test_numbers(value, text):
    assert number(value) == text


@pytest.mark.parametrize(
    ("mean", "error", "text"),
    [
        (0.93124, 0.00213, "0.9312 ± 0.0021"),
        (93.1, 12.3, "93 ± 12"),
        (1234.0, 150.0, "1234 ± 150"),
        (0.5, 0.0, "0.5000 ± 0"),
        (0.93124, math.nan, "0.9312"),
        (math.nan, 0.1, "–"),
        (-3.25, 0.5, "-3.25 ± 0.50"),
        (2.5e-9, 3e-10, "(2.50 ± 0.30)e-9"),
        (math.inf, 1.0, "inf"),
        (0.0, 0.01, "0.000 ± 0.010"),
        (1e-12, math.nan, "1e-12"),
        (90.0, math.nan, "90.00"),
    ],
)
def test_results_with_their_standard_errors(mean, error, text):
    assert with_error(mean, error) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, "–"),
        (math.nan, "–"),
        (0.04, "0.0 s"),
        (9.94, "9.9 s"),
        (9.96, "10 s"),
        (59.4, "59 s"),
        (59.6, "1 m 00 s"),
        (187, "3 m 07 s"),
        (3599.6, "1 h 00 m"),
        (7500, "2 h 05 m"),
        (86399, "1 d 00 h"),
        (275000, "3 d 04 h"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


def test_values_and_messages():
    found = [value_text(value) for value in (True, False, None, "adam", 3, 0.25)]
    assert found == ["yes", "no", "–", "adam", "3", "0.25"]
    assert one_line('Traceback (most recent call last):\n  File "x"\nValueError: no\n\n') == "ValueError: no"
    assert one_line("ValueError: no\n  File x, line 3\n    raise ValueError") == "ValueError: no"
    assert one_line(None) == one_line("") == one_line(" \n") == ""


@pytest.mark.parametrize("text", ["short", "a rather long message", "日本語のメッセージ"])
def test_shortened_texts_fit(text):
    for width in range(2, 25):
        assert cell_len(shortened(text, width)) <= width
    assert shortened(text, 40) == text
