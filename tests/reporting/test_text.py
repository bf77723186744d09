import math

import pytest
from rich.cells import cell_len

from raybayes.reporting.text import duration, first_line, shorten, value_text


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
    assert first_line('Traceback (most recent call last):\n  File "x"\nValueError: no\n\n') == "ValueError: no"
    assert first_line("ValueError: no\n  File x, line 3\n    raise ValueError") == "ValueError: no"
    assert first_line(None) == first_line("") == first_line(" \n") == ""


@pytest.mark.parametrize("text", ["short", "a rather long message", "日本語のメッセージ"])
def test_shortened_texts_fit(text):
    for width in range(2, 25):
        assert cell_len(shorten(text, width)) <= width
    assert shorten(text, 40) == text
