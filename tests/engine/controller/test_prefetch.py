"""When a configuration is looked for before a slot asks, and that one slot's sweep depends on its seed alone."""

import pytest

import raybayes as rb
from raybayes.engine.controller.prefetch import Prefetcher
from raybayes.space import Float, Space
from raybayes.spec.sweep_spec import SweepSpec

SPACE = Space({"x": Float(0.0, 1.0)})


def prefetcher(asking, training, **wanted):
    made = Prefetcher(SweepSpec(project="p", name="s", **wanted))
    for _ in range(5):
        made.on_suggestion(asking)
        made.on_run_end(training)
    return made


@pytest.mark.parametrize(
    ("mode", "asking", "training", "live", "waiting", "pays"),
    [
        ("auto", 0.02, 0.1, 2, 0, True),
        ("auto", 0.02, 0.1, 2, 1, True),  # one for each slot at work
        ("auto", 0.02, 0.1, 2, 2, False),
        ("auto", 0.02, 60.0, 2, 0, False),  # too little to save
        ("auto", 0.02, 0.1, 1, 0, False),  # a single slot is reproducible
        ("always", 0.02, 60.0, 1, 0, True),
        ("never", 0.02, 0.1, 2, 0, False),
    ],
)
def test_it_pays_where_asking_takes_a_notable_part_of_a_trial(mode, asking, training, live, waiting, pays):
    assert prefetcher(asking, training, ask_ahead=mode).pays(live, waiting) == pays


@pytest.mark.parametrize("sampler", ["cmaes", "nsga2", "optuna.samplers.QMCSampler"])
def test_samplers_that_do_not_see_pending_trials_are_never_asked_ahead(sampler):
    assert not prefetcher(0.02, 0.1, ask_ahead="always", sampler=sampler).pays(2, 0)


def test_nothing_is_asked_ahead_before_anything_is_known():
    assert not Prefetcher(SweepSpec(project="p", name="s")).pays(2, 0)


def test_as_many_trials_as_wanted_and_each_once(tmp_path):
    def loss(config):
        return config["x"]

    ahead = rb.simulate(loss, SPACE, trials=23, workers=4, ask_ahead="always", storage=str(tmp_path), name="s")
    assert ahead.sweep.trials["trial"].to_pylist() == list(range(23))
    assert set(ahead.sweep.trials["state"].to_pylist()) == {"COMPLETE"}
    plain = rb.simulate(loss, SPACE, trials=23, workers=4)
    assert ahead.sweep.trials["config.x"].to_pylist() != plain.sweep.trials["config.x"].to_pylist()
    assert ahead.seconds == plain.seconds


def test_what_was_asked_ahead_is_not_lost_when_the_time_is_up(tmp_path):
    wanted = {"trials": 12, "workers": 3, "ask_ahead": "always", "storage": str(tmp_path), "name": "s"}
    stopped = rb.simulate(lambda config: config["x"], SPACE, time_budget=2, **wanted)
    states = stopped.sweep.trials["state"].to_pylist()
    assert "PAUSED" in states
    before = stopped.sweep.trials["config.x"].to_pylist()
    whole = rb.simulate(lambda config: config["x"], SPACE, **wanted).sweep.trials
    assert whole["config.x"].to_pylist()[: len(before)] == before
    assert set(whole["state"].to_pylist()) == {"COMPLETE"}
