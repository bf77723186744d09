"""Rankings and Pareto fronts against brute force."""

from hypothesis import given
from hypothesis import strategies as st

from raybayes.search.objective import Objective
from raybayes.search.outcomes.outcome import State
from raybayes.search.outcomes.ranking import find_pareto_front, rank_trials
from raybayes.search.outcomes.records import TrialRecord

LOSS = Objective("loss", "minimize")
SCORE = Objective("score", "maximize")


def record(number: int, values: tuple[float, ...] | None, feasible: bool = True) -> TrialRecord:
    return TrialRecord(number, State.COMPLETE if values else State.PRUNED, {}, values, {}, feasible=feasible)


_values = st.none() | st.tuples(st.integers(0, 3).map(float), st.integers(0, 3).map(float))
_records = st.lists(st.tuples(_values, st.booleans()), max_size=10).map(
    lambda rows: [record(number, values, feasible) for number, (values, feasible) in enumerate(rows)]
)


def beats(one: TrialRecord, other: TrialRecord) -> bool:
    """At least as good in both, better in one: loss down, score up."""
    (loss, score), (their_loss, their_score) = one.values, other.values
    return loss <= their_loss and score >= their_score and (loss < their_loss or score > their_score)


@given(_records)
def test_one_objective_is_sorted_by_it(records):
    done = [r for r in records if r.values]
    for objective, sign in ((LOSS, 1), (SCORE, -1)):
        found = rank_trials(records, [objective])
        assert found == [r.number for r in sorted(done, key=lambda r: (not r.feasible, sign * r.values[0], r.number))]
        feasible = [r for r in done if r.feasible]
        best = [r.number for r in feasible if sign * r.values[0] == min(sign * other.values[0] for other in feasible)]
        assert find_pareto_front(records, [objective]) == best[:1]


@given(_records)
def test_the_front_is_what_nothing_feasible_dominates(records):
    usable = [r for r in records if r.values and r.feasible]
    wanted = [r.number for r in usable if not any(beats(other, r) for other in usable)]
    assert find_pareto_front(records, [LOSS, SCORE]) == wanted


@given(_records)
def test_a_dominated_trial_is_never_ranked_before_its_better(records):
    found = rank_trials(records, [LOSS, SCORE])
    by_number = {r.number: r for r in records}
    assert sorted(found) == [r.number for r in records if r.values]
    place = {number: i for i, number in enumerate(found)}
    for one in found:
        for other in found:
            better, worse = by_number[one], by_number[other]
            if better.feasible == worse.feasible and beats(better, worse):
                assert place[one] < place[other]
            if better.feasible and not worse.feasible:
                assert place[one] < place[other]


def test_equal_trials_share_the_front():
    records = [record(0, (1.0, 1.0)), record(1, (1.0, 1.0)), record(2, (2.0, 0.0))]
    assert find_pareto_front(records, [LOSS, SCORE]) == [0, 1]
    assert rank_trials(records, [LOSS, SCORE]) == [0, 1, 2]
    assert find_pareto_front([record(0, None), record(1, (1.0,), feasible=False)], [LOSS]) == []
