"""The texts of stop rules and budgets."""

import pytest

from raybayes.errors import SpecError
from raybayes.spec.stop_rules import Budget, StopRule, budget, parse_budget, parse_stop_rules, stop_rules


def test_rules_are_read_and_written_in_one_spelling():
    assert parse_stop_rules("plateau:30, target: <= 5e-2") == (StopRule("plateau", 30), StopRule("target", 0.05, "<="))
    assert stop_rules(["plateau:30.0", "regret:1e-2"]) == "plateau:30,regret:0.01"
    assert (stop_rules("none"), parse_stop_rules("none")) == ("none", ())
    assert (parse_budget("40gpuh"), budget(" 1.50cpuh "), budget("none")) == (Budget(40, "gpu"), "1.5cpuh", None)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("plateu:30", r"unknown stop rule 'plateu'; did you mean 'plateau'\? Valid stop rules: plateau:30 \(.*none"),
        ("plateau", r"found 'plateau'; write for example plateau:30 \("),
        ("plateau:2.5", r"found 'plateau:2.5'; write for example plateau:30"),
        ("plateau:0", "found 'plateau:0'"),
        ("target:good", r"found 'target:good'; write for example target:0\.05"),
        ("target:nan", "found 'target:nan'"),
        ("regret:-1", "found 'regret:-1'"),
        ("regret:<=1", "found 'regret:<=1'"),
    ],
)
def test_what_is_no_rule_is_refused(text, said):
    with pytest.raises(SpecError, match=f"stop_when: {said}"):
        stop_rules(text)


@pytest.mark.parametrize("text", ["40", "40h", "0gpuh", "-1cpuh", "40 hours"])
def test_what_is_no_budget_is_refused(text):
    with pytest.raises(SpecError, match=rf"budget: found '{text}'; write hours of CPUs or GPUs: 40cpuh or 40gpuh"):
        budget(text)
