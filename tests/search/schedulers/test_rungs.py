"""Early stopping against the slow, obvious reading of each paper's rule, and every message about options."""

import math
import random
import statistics

import pytest
from hypothesis import given
from hypothesis import strategies as st

from raybayes.errors import SpecError
from raybayes.search.objective import Objective
from raybayes.search.schedulers.rungs import Asha, Curves, Hyperband, Median, NoPruning, Scheduler, make_scheduler
from raybayes.spec.component import Component

Event = tuple[int, int, float]  # trial, step, loss
LOSSES = st.integers(0, 6).map(float)  # ties are frequent


@st.composite
def histories(draw: st.DrawFn, steps: int = 9) -> list[Event]:
    """Reports of up to 12 trials in a random interleaving, each trial's steps in order."""
    lengths = draw(st.lists(st.integers(1, steps), min_size=1, max_size=12))
    order = draw(st.permutations([trial for trial, length in enumerate(lengths) for _ in range(length)]))
    reached = dict.fromkeys(range(len(lengths)), 0)
    events: list[Event] = []
    for trial in order:
        reached[trial] += 1
        events.append((trial, reached[trial], draw(LOSSES)))
    return events


def decisions(scheduler: Scheduler, events: list[Event], interrupted_at: int = -1) -> list[bool]:
    """The answer to each report; a stopped trial reports no more. An interruption forgets the order of arrival."""
    curves, stopped, answers = Curves(), set(), []
    for i, (trial, step, loss) in enumerate(events):
        if i == interrupted_at:
            curves = stored_and_read(curves)
        if trial in stopped:
            continue
        curves.add(trial, step, loss)
        answers.append(scheduler.should_continue(curves, trial, step))
        if not answers[-1]:
            stopped.add(trial)
    return answers


def stored_and_read(curves: Curves) -> Curves:
    again = Curves()
    for trial in sorted(curves.by_trial):
        for step in sorted(curves.by_trial[trial]):
            again.add(trial, step, curves.by_trial[trial][step])
    return again


def slow_asha(events: list[Event], grace_period: int, eta: float, group: dict[int, int] | None = None) -> list[bool]:
    """At a rung: among the best floor(n / eta) of the n that have reached it so far, or n < eta.

    Of equal losses, those of earlier trials that would continue by the same rule have their places already.
    """
    stopped: set[int] = set()
    seen: dict[tuple[int, int], dict[int, float]] = {}
    answers = []
    for trial, step, loss in events:
        if trial in stopped:
            continue
        bracket = 0 if group is None else group[trial]
        rungs = {round(grace_period * eta**k) for k in range(bracket, bracket + 30)}
        goes_on = True
        if step in rungs:
            rivals = seen.setdefault((bracket, step), {})
            before = sorted(rivals.items())
            rivals[trial] = loss
            holders = 0
            for n, (_, other) in enumerate(before, start=1):
                better = sum(earlier < loss for _, earlier in before[:n])
                holders += other == loss and (n < eta or better + holders < math.floor(n / eta))
            better = sum(other < loss for other in rivals.values())
            goes_on = len(rivals) < eta or better + holders < math.floor(len(rivals) / eta)
        answers.append(goes_on)
        if not goes_on:
            stopped.add(trial)
    return answers


def slow_median(events: list[Event], grace_period: int, min_trials: int) -> list[bool]:
    stopped: set[int] = set()
    curves: dict[int, list[float]] = {}
    answers = []
    for trial, step, loss in events:
        if trial in stopped:
            continue
        curves.setdefault(trial, []).append(loss)
        others = [curve[:step] for other, curve in curves.items() if other != trial and len(curve) >= step]
        goes_on = True
        if step >= grace_period and len(others) >= min_trials:
            goes_on = min(curves[trial]) <= statistics.median(sum(curve) / len(curve) for curve in others)
        answers.append(goes_on)
        if not goes_on:
            stopped.add(trial)
    return answers


# -- ASHA --------------------------------------------------------------------------------------------------------


@given(histories(), st.integers(1, 3), st.sampled_from([1.5, 2, 3, 4]))
def test_asha_is_its_definition(events, grace_period, eta):
    assert decisions(Asha(grace_period, eta), events) == slow_asha(events, grace_period, eta)


def test_the_rungs_of_asha():
    assert [step for step in range(1, 100) if Asha(1, 3).is_rung(step)] == [1, 3, 9, 27, 81]
    assert [step for step in range(1, 40) if Asha(2, 4).is_rung(step)] == [2, 8, 32]
    assert [step for step in range(1, 12) if Asha(1, 1.5).is_rung(step)] == [1, 2, 3, 5, 8, 11]


@given(st.lists(LOSSES, min_size=3, max_size=12, unique=True))
def test_no_stopped_trial_is_better_than_one_that_goes_on(losses):
    curves = Curves()
    for trial, loss in enumerate(losses):
        curves.add(trial, 3, loss)
    answers = {trial: Asha(1, 3).should_continue(curves, trial, 3) for trial in range(len(losses))}
    assert all(losses[a] < losses[b] for a in answers for b in answers if answers[a] and not answers[b])
    assert sum(answers.values()) == len(losses) // 3


@pytest.mark.parametrize("scheduler", [Asha(1, 3), Hyperband(1, 3, 1)])
def test_of_equal_losses_one_in_eta_continues(scheduler):
    """100 networks that predict at chance: at each rung a third continues, not all of them."""
    curves, reached = Curves(), {step: 0 for step in (1, 3, 9)}
    trained = 0
    for trial in range(100):
        for step in range(1, 28):
            curves.add(trial, step, 0.9)
            trained += 1
            if not scheduler.should_continue(curves, trial, step):
                break
            if step in reached:
                reached[step] += 1
    assert reached == {1: 33, 3: 11, 9: 3}
    assert trained == 100 + 33 * 2 + 11 * 6 + 3 * 18


def test_the_promoted_share_of_asha():
    """Of 81 trials whose losses arrive from worst to best, all go on; else those before the first verdict."""
    worst_first = [(trial, 1, 100.0 - trial) for trial in range(81)]
    best_first = [(trial, 1, float(trial)) for trial in range(81)]
    assert sum(decisions(Asha(1, 3), worst_first)) == 81
    assert sum(decisions(Asha(1, 3), best_first)) == 2
    shuffled = best_first[:]
    random.Random(0).shuffle(shuffled)
    assert 27 <= sum(decisions(Asha(1, 3), shuffled)) <= 40  # asynchronous: some are let through early


# -- Hyperband ---------------------------------------------------------------------------------------------------


@given(histories(), st.integers(1, 2), st.sampled_from([2, 3]), st.integers(1, 3))
def test_hyperband_is_asha_within_each_bracket(events, grace_period, eta, brackets):
    scheduler = Hyperband(grace_period, eta, brackets)
    group = {trial: scheduler.bracket_of(trial) for trial, _, _ in events}
    assert decisions(scheduler, events) == slow_asha(events, grace_period, eta, group)


@pytest.mark.parametrize(("eta", "brackets"), [(3.0, 3), (3.0, 5), (4.0, 4), (2.0, 6), (2.5, 3), (3.0, 1)])
def test_the_brackets_get_hyperbands_shares(eta, brackets):
    # Li et al. 2018, algorithm 1: bracket s' starts with n = ceil(B/R eta^s' / (s'+1)), where B/R is their number.
    wanted = [math.ceil(brackets * eta**s / (s + 1)) for s in reversed(range(brackets))]
    scheduler = Hyperband(1, eta, brackets)
    dealt = [scheduler.bracket_of(trial) for trial in range(3 * sum(wanted))]
    assert [dealt.count(s) for s in range(brackets)] == [3 * n for n in wanted]


def test_the_published_example_of_hyperband():
    """R = 81, eta = 3 (Li et al. 2018, table 1): brackets of 81, 34, 15, 8, 5 trials with 1, 3, 9, 27, 81 units."""
    scheduler = Hyperband(1, 3.0, 5)
    dealt = [scheduler.bracket_of(trial) for trial in range(81 + 34 + 15 + 8 + 5)]
    assert [dealt.count(s) for s in range(5)] == [81, 34, 15, 8, 5]


# -- median ------------------------------------------------------------------------------------------------------


@given(histories(steps=5), st.integers(1, 3), st.integers(1, 3))
def test_median_stopping_is_its_definition(events, grace_period, min_trials):
    assert decisions(Median(grace_period, min_trials), events) == slow_median(events, grace_period, min_trials)


def test_median_stopping_does_not_look_at_the_trials_own_future():
    """A trial that goes on from a checkpoint reports again what is stored already."""
    curves = Curves()
    for other in range(3):
        curves.add(other, 1, 1.0)
    curves.add(9, 1, 5.0)
    assert not Median(1, 3).should_continue(curves, 9, 1)
    curves.add(9, 2, 0.0)  # known from before the interruption
    assert not Median(1, 3).should_continue(curves, 9, 1)


# -- what all have in common -------------------------------------------------------------------------------------

ALL = [NoPruning(), Asha(1, 2), Asha(2, 3), Hyperband(1, 2, 3), Median(1, 2)]


@pytest.mark.parametrize("scheduler", ALL, ids=repr)
@given(events=histories(), share=st.floats(0, 1))
def test_a_replay_and_an_interruption_give_the_same_decisions(scheduler, events, share):
    wanted = decisions(scheduler, events)
    assert decisions(scheduler, events, int(share * len(events))) == wanted


@pytest.mark.parametrize("scheduler", ALL, ids=repr)
@given(events=histories())
def test_a_maximised_objective_is_the_negated_one(scheduler, events):
    score = Objective("score", "maximize")
    as_score = [(trial, step, 10.0 - loss) for trial, step, loss in events]
    as_loss = [(trial, step, score.loss(value)) for trial, step, value in as_score]
    assert decisions(scheduler, as_loss) == decisions(scheduler, events)
    assert Objective("loss", "minimize").loss(3.0) == 3.0


def test_patience_never_ends():
    assert all(decisions(NoPruning(), [(trial, 1, float(trial)) for trial in range(20)]))


# -- options -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "made"),
    [
        ("none", NoPruning()),
        ("asha", Asha(1, 3.0)),
        ("asha:eta=4,grace_period=2", Asha(2, 4)),
        ("asha:eta=1e1", Asha(1, 10.0)),
        ("median:grace_period=5", Median(5, 3)),
        ("hyperband:brackets=2", Hyperband(1, 3.0, 2)),
    ],
)
def test_a_scheduler_is_made_from_its_name_and_options(text, made):
    assert make_scheduler(Component.parse(text)) == made


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("asah", ["'asah'", "did you mean 'asha'?", "none, asha, median, hyperband, pbt"]),
        ("zzz", ["unknown scheduler 'zzz'; valid schedulers: none, asha"]),
        (
            "asha:reduction=3",
            ["scheduler asha has no option 'reduction'; valid options: ", "grace_period (default 1), eta (default 3)"],
        ),
        ("none:grace_period=3", ["scheduler none has no option 'grace_period'; valid options: none."]),
        ("asha:eta=1", ["scheduler asha", "eta = 1", "number above 1"]),
        ("asha:eta=.inf", ["eta = inf", "finite number above 1"]),
        ("asha:eta=.nan", ["eta = nan", "finite number above 1"]),
        ("asha:eta=four", ["eta = 'four'", "number above 1"]),
        ("asha:eta=true", ["eta = True", "number above 1"]),
        ("asha:grace_period=0", ["grace_period = 0", "number above 0"]),
        ("asha:grace_period=1.5", ["grace_period = 1.5", "whole number"]),
        ("hyperband:brackets=-1", ["scheduler hyperband", "brackets = -1", "number above 0"]),
        ("median:min_trials=2.5", ["scheduler median", "min_trials = 2.5", "whole number"]),
    ],
)
def test_a_wrong_option_is_named(text, words):
    with pytest.raises(SpecError) as caught:
        make_scheduler(Component.parse(text))
    assert [word for word in words if word not in str(caught.value)] == []
