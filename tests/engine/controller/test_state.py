"""The state of a sweep: one record per trial, what is stored of it, what the next burst finds."""

from bursts import prepare_sweep

from raybayes.clock import VirtualClock
from raybayes.engine.controller.queue import TrialQueue
from raybayes.engine.controller.state import SweepState
from raybayes.engine.messages import Report
from raybayes.search.outcomes.outcome import Outcome, State
from raybayes.store.trials import read_trials


def open_state(folder, clock=None, **options):
    prepared = prepare_sweep(folder, **options)
    state = SweepState(prepared.layout, prepared.spec, prepared.plan, clock or VirtualClock())
    return prepared, state, TrialQueue(prepared.layout, prepared.spec, prepared.plan, ())


def test_a_new_sweep_has_all_that_it_needs_and_no_trial(tmp_path):
    _, state, _ = open_state(tmp_path, trials=4)
    assert (state.count, state.remaining, state.wanted, state.active_count) == (0, 4, 4, 0)
    assert (state.open_trials, state.active_runs, dict(state.curves.by_step)) == ([], [], {})


def test_a_trial_starts_when_its_training_does_not_when_it_was_asked_for(tmp_path):
    clock = VirtualClock(1000.0)
    prepared, state, queue = open_state(tmp_path, clock, trials=2)
    for _ in range(2):
        queue.add_trial(state.ask())
    for step in range(2):
        clock.advance(10.0)
        active = state.activate(queue.take(0.0))
        assert state.count_attempt(active, "n") == 1
        state.deactivate(active.key)
        state.close_trial(step, 1, {}, Outcome(State.PRUNED))
    state.close()
    assert read_trials(prepared.layout)["started"].to_pylist() == [1010.0, 1020.0]


def test_an_interrupted_run_keeps_its_progress_for_the_next_slot(tmp_path):
    _, state, queue = open_state(tmp_path, trials=1)
    queue.add_trial(state.ask())
    run = queue.take(0.0)
    active = state.activate(run)
    active.on_report(0.0, Report(3, 1, 2.5, {"loss": 1.0}))
    active.on_report(0.0, Report(4, 1, 3.5, {"size": 2.0}))
    state.deactivate(run.key, interrupted=True)
    assert state.find_active(run.key) is None
    again = state.activate(run)
    assert again.progress == (4, 3.5, {"loss": 1.0, "size": 2.0})
    state.deactivate(run.key)
    assert state.activate(run).progress.step == 0, "what has ended in order begins from nothing"


def test_the_next_burst_finds_attempts_seconds_results_and_progress(tmp_path):
    _, state, queue = open_state(tmp_path, trials=2, repeats=2)
    queue.add_trial(state.ask())
    first, second = state.activate(queue.take(0.0)), state.activate(queue.take(0.0))
    for active in (first, second):
        state.count_attempt(active, "n")
        state.log_report(active.key, Report(2, 1, 7.0, {"loss": 0.5}))
    first.state.metrics, first.state.seconds = {"loss": 0.5}, 7.0
    state.close()

    _, state, queue = open_state(tmp_path, trials=2, repeats=2)
    [trial] = state.open_trials
    assert (trial.results, trial.seconds, trial.attempts) == ({0: {"loss": 0.5}}, {0: 7.0}, {0: 1, 1: 1})
    queue.add_trial(trial)
    active = state.activate(queue.take(0.0))
    assert (active.key, active.progress) == ((0, 1), (2, 7.0, {"loss": 0.5}))


def test_a_run_of_a_trial_that_another_repeat_has_ended_may_still_start(tmp_path):
    _, state, queue = open_state(tmp_path, trials=1, repeats=2)
    queue.add_trial(state.ask())
    first, second = state.activate(queue.take(0.0)), state.activate(queue.take(0.0))
    state.count_attempt(first, "n")
    state.close_trial(0, 1, {}, Outcome(State.FAIL, error="no"))
    assert state.is_closed(0)
    assert state.count_attempt(second, "n") == 1
