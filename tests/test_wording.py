"""Phrases that are worded alike everywhere: unknown names, numbers with their errors."""

import math

import pytest

from raybayes.wording import did_you_mean, in_five_digits, number, unknown, with_error


def test_an_unknown_name_gets_the_nearest_valid_one_and_all_of_them():
    assert (
        unknown("key", "lrr", ["lr", "momentum"]) == "unknown key 'lrr'; did you mean 'lr'? Valid keys: lr, momentum."
    )
    assert (
        unknown("key", "zzz", ["lr"], shown=["lr (default 0.1)"]) == "unknown key 'zzz'; valid keys: lr (default 0.1)."
    )
    assert unknown("option", "et", ["eta"], owner="scheduler asha") == (
        "scheduler asha has no option 'et'; did you mean 'eta'? Valid options: eta."
    )
    assert (
        unknown("option", "et", [], owner="scheduler none") == "scheduler none has no option 'et'; valid options: none."
    )


def test_nothing_is_meant_where_nothing_is_near():
    assert did_you_mean("zzz", ["lr", "momentum"]) == ""
    assert did_you_mean("momentun", iter(["lr", "momentum"])) == "; did you mean 'momentum'?"


@pytest.mark.parametrize(
    ("value", "error", "text"),
    [(0.03124, 0.00041, "0.03124 ± 0.00041"), (12.3456, 1.5, "12.3 ± 1.5"), (7.0, 30.0, "7 ± 30"),
     (0.5, None, "0.5"), (0.5, 0.0, "0.5 ± 0"), (0.1234567, None, "0.12346"), (1.41751111, 1e-16, "1.4175 ± 0")],
)  # fmt: skip
def test_a_sentence_quotes_five_digits_where_there_is_no_error(value, error, text):
    assert with_error(value, error, alone=in_five_digits) == text


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
        (None, None, "–"),
        (0.93124, None, "0.9312"),
        (1.41751111111111139, 1.6e-16, "1.418 ± 0"),
        (1.0, 0.9e-12, "1.000 ± 0"),
        (1.0, 1.1e-12, "1.0000000000000 ± 0.0000000000011"),
        (54321.7, 123.4, "54322 ± 120"),
        (5.0, 9.96, "5 ± 10"),
        (-2.5e-9, 3e-22, "-2.5e-9 ± 0"),
    ],
)
def test_results_with_their_standard_errors(mean, error, text):
    assert with_error(mean, error) == text
