"""Samplers by name and by import path: what they suggest depends on the study and the trial's number alone."""

import math
import statistics

import optuna
import pytest
from optuna.search_space import IntersectionSearchSpace

from raybayes.errors import SpecError
from raybayes.search.objective import Objective
from raybayes.search.outcomes.outcome import Outcome, State
from raybayes.search.samplers import SAMPLERS, make_sampler_factory
from raybayes.search.study.study import Study
from raybayes.search.study.transfer_study import PastTrial
from raybayes.seeds import derive
from raybayes.space import Choice, Float, Int, Space
from raybayes.spec.component import Component

FLAT = Space({"x": Float(0.0, 1.0), "lr": Float(1e-4, 1.0, log=True), "n": Int(1, 9), "kind": Choice("a", "b")})
CONDITIONAL = Space(
    {
        "method": Choice("plain", "swag"),
        "lr": Float(1e-4, 1.0, log=True),
        "swag.rank": Int(5, 40, step=5, when={"method": "swag"}),
        "swag.scale": Float(0.1, 1.0, when={"method": "swag"}),
    }
)
LOSS = Objective("loss", "minimize")
QMC = "optuna.samplers.QMCSampler"
NAMES = [name for name in SAMPLERS if name != "grid"]


def loss_of(params):
    return float(sum(value for value in params.values() if isinstance(value, int | float)))


def run(path, sampler, space, trials, seed=0, reopen=False, objectives=(LOSS,)):
    """The configurations of a sequential sweep; `reopen` closes the study before each trial."""
    factory = make_sampler_factory(Component.parse(sampler), space, seed, len(objectives))
    study = Study(str(path), space, objectives)
    asked = []
    for _ in range(trials):
        if reopen:
            study.flush()
            study = Study(str(path), space, objectives)
            factory = make_sampler_factory(Component.parse(sampler), space, seed, len(objectives))
        number, params = study.ask(factory)
        asked.append(params)
        values = (loss_of(params), -loss_of(params))[: len(objectives)]
        study.finish(number, Outcome(State.COMPLETE, values), {})
    return asked


# -- suggestions -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("space", [FLAT, CONDITIONAL], ids=["flat", "conditional"])
@pytest.mark.parametrize("sampler", [*NAMES, QMC, "optuna.samplers.BruteForceSampler"])
def test_every_sampler_stays_in_the_space_and_repeats_itself(tmp_path, sampler, space):
    if sampler == "gp":
        pytest.importorskip("torch").set_num_threads(1)
    if sampler.endswith("BruteForceSampler"):
        space = Space({"n": Int(1, 3), "m": Choice("a", "b"), "k": Int(1, 2, when={"m": "b"})})
    # The startup of TPE and GP is random: shorten it, so that the model speaks as well.
    sampler += {"tpe": ":n_startup_trials=3", "gp": ":n_startup_trials=3", "nsga2": ":population_size=3"}.get(
        sampler, ""
    )
    trials = 4 if sampler.startswith("gp") else 6
    once = run(tmp_path / "a", sampler, space, trials)
    assert [space.outside(params) for params in once] == [None] * trials
    assert len({str(params) for params in once}) > 2  # crossover may repeat a parent
    assert run(tmp_path / "b", sampler, space, trials, reopen=True) == once, "a fresh process suggests the same"
    assert run(tmp_path / "c", sampler, space, trials, seed=1) != once


def test_a_sampler_depends_on_seed_and_number_alone():
    factory = make_sampler_factory(Component.parse("random"), FLAT, 7, 1)

    def drawn(number):
        study = optuna.create_study(sampler=factory(number))
        return study.ask().suggest_float("x", 0, 1)

    assert [drawn(number) for number in (3, 1, 3, 2)] == [drawn(3), drawn(1), drawn(3), drawn(2)]
    assert len({drawn(number) for number in range(50)}) == 50
    wanted = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=derive(7, "sampler", 3) % 2**32))
    assert drawn(3) == wanted.ask().suggest_float("x", 0, 1)


def test_the_grid_draws_nothing_of_its_own(tmp_path):
    space = Space({"x": Float(0.1, 0.3, step=0.1), "kind": Choice("a", "b")})
    factory = make_sampler_factory(Component.parse("grid"), space, 0, 1)
    study = Study(str(tmp_path / "journal"), space, (LOSS,))
    assert [study.ask(factory, point)[1] for point in space.grid()] == space.grid()


def test_the_points_of_a_quasi_random_sequence_belong_together(tmp_path):
    """Sixteen scrambled Sobol points in one dimension: one in each sixteenth, after a first independent one."""
    space = Space({"x": Float(0.0, 1.0)})
    drawn = [params["x"] for params in run(tmp_path / "journal", QMC, space, 17)][1:]
    assert sorted(int(value * 16) for value in drawn) == list(range(16))


def _last_distances(path, sampler):
    """Median distance from (3, -2) of the last 20 of 40 trials, mean over three seeds."""
    space = Space({"x": Float(-10.0, 10.0), "y": Float(-10.0, 10.0)})
    medians = []
    for seed in range(3):
        factory = make_sampler_factory(Component.parse(sampler), space, seed, 1)
        study = Study(str(path / f"{sampler}-{seed}"), space, (LOSS,))
        distances = []
        for _ in range(40):
            number, params = study.ask(factory)
            distances.append(math.dist((params["x"], params["y"]), (3.0, -2.0)))
            study.finish(number, Outcome(State.COMPLETE, (distances[-1],)), {})
        medians.append(statistics.median(distances[20:]))
    return statistics.fmean(medians)


@pytest.mark.parametrize("sampler", ["tpe:n_startup_trials=5", "cmaes:n_startup_trials=5"])
def test_a_fresh_sampler_an_ask_learns_from_the_study(tmp_path, sampler):
    assert _last_distances(tmp_path, sampler) < 0.75 * _last_distances(tmp_path, "random")


@pytest.mark.parametrize("sampler", ["tpe", "nsga2", "random"])
def test_several_objectives(tmp_path, sampler):
    objectives = (LOSS, Objective("size", "maximize"))
    assert len(run(tmp_path / "journal", sampler, CONDITIONAL, 6, objectives=objectives)) == 6


def test_tpe_samples_conditional_parameters_together():
    flat = make_sampler_factory(Component.parse("tpe"), FLAT, 0, 1)(0)
    grouped = make_sampler_factory(Component.parse("tpe"), CONDITIONAL, 0, 1)(0)
    independent = make_sampler_factory(Component.parse("tpe:multivariate=false"), CONDITIONAL, 0, 1)(0)
    assert [(s._multivariate, s._group) for s in (flat, grouped, independent)] == [
        (True, False),
        (True, True),
        (False, False),
    ]
    assert make_sampler_factory(Component.parse("tpe:n_startup_trials=33"), FLAT, 0, 1)(0)._n_startup_trials == 33


def test_an_import_path_is_that_sampler():
    made = make_sampler_factory(Component.parse(f"{QMC}:qmc_type=halton"), FLAT, 0, 1)(0)
    assert isinstance(made, optuna.samplers.QMCSampler)
    assert made._qmc_type == "halton"
    by_path = make_sampler_factory(Component.parse("optuna.samplers.TPESampler"), CONDITIONAL, 0, 1)(0)
    assert by_path._group, "the same defaults as under its name"


def test_numpys_global_generator_is_left_alone(tmp_path):
    import numpy as np

    before = np.random.get_state()[1].copy()
    for i, sampler in enumerate(("random", "tpe:n_startup_trials=2", "cmaes", "nsga2", QMC)):
        run(tmp_path / str(i), sampler, FLAT, 4)
    assert (np.random.get_state()[1] == before).all()


# -- messages ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("sampler", "space", "objectives", "words"),
    [
        (
            "tpr",
            FLAT,
            1,
            ["'tpr'", "unknown", "did you mean 'tpe'?", "tpe, gp, cmaes, nsga2, random, grid", "import path"],
        ),
        ("zzz", FLAT, 1, ["unknown sampler 'zzz'; valid samplers: auto, tpe"]),
        ("no.such.Sampler", FLAT, 1, ["no.such.Sampler", "cannot be imported", "check the path"]),
        ("optuna.samplers.NoSampler", FLAT, 1, ["optuna.samplers.NoSampler", "cannot be imported", "check the path"]),
        ("optuna.study.Study", FLAT, 1, ["optuna.study.Study", "not an Optuna sampler", "subclass of BaseSampler"]),
        ("math.pi", FLAT, 1, ["math.pi", "found 3.14", "not an Optuna sampler"]),
        (
            "tpe:n_startup=3",
            FLAT,
            1,
            ["sampler tpe (TPESampler) has no option 'n_startup'; did you mean 'n_startup_trials'?"],
        ),
        ("grid:n=3", FLAT, 1, ["sampler grid", "has no option 'n'; valid options: none."]),
        ("tpe:self=3", FLAT, 1, ["sampler tpe (TPESampler) has no option 'self'"]),
        ("random:seed=3", FLAT, 1, ["sampler random", "seed is derived from the sweep's", "use --seed"]),
        (
            "tpe:multivariate=false,group=true",
            FLAT,
            1,
            ["sampler tpe:multivariate=False,group=True", "check its options"],
        ),
        ("nsga2:population_size=0", FLAT, 1, ["sampler nsga2", "population_size", "check its options"]),
        ("optuna.samplers.GridSampler", FLAT, 1, ["optuna.samplers.GridSampler", "search_space", "check its options"]),
        ("cmaes", FLAT, 2, ["sampler cmaes", "one objective, found 2", "use nsga2, tpe or gp"]),
        ("optuna.samplers.CmaEsSampler", FLAT, 2, ["CmaEsSampler", "one objective, found 2"]),
        ("cmaes", Space({"kind": Choice("a", "b")}), 1, ["sampler cmaes", "needs a Float or Int", "none; use tpe"]),
        ("cmaes", Space({}), 1, ["sampler cmaes", "needs a Float or Int", "none; use tpe"]),
    ],
)
def test_a_sampler_that_cannot_work_is_refused(sampler, space, objectives, words):
    with pytest.raises(SpecError) as caught:
        make_sampler_factory(Component.parse(sampler), space, 0, objectives)
    assert [word for word in words if word not in str(caught.value)] == [], str(caught.value)


@pytest.mark.parametrize("past", [(), (PastTrial({"x": 0.2, "lr": 0.1, "n": 3, "kind": "a"}, (0.3,), (0.5,)),) * 3])
def test_what_a_study_remembers_changes_no_suggestion(tmp_path, past):
    """Three trials at a time that end in every way, and another process in the middle."""
    factory = make_sampler_factory(Component.parse("tpe:n_startup_trials=4"), FLAT, 5, 1)
    found = {}
    for forgetful in (False, True):
        path, asked, live = str(tmp_path / f"journal-{forgetful}"), [], []
        study = Study(path, FLAT, (LOSS,), past=past)
        for turn in range(36):
            if turn == 20:
                study.flush()
                study = Study(path, FLAT, (LOSS,), past=past)
                for number, _ in live:
                    study.resume_trial(number)
            if forgetful:
                study._common = IntersectionSearchSpace(include_pruned=True)
            live.append(study.ask(factory))
            asked.append(live[-1])
            if len(live) == 3:
                number, params = live.pop(turn % 3)
                state = (State.COMPLETE, State.COMPLETE, State.PRUNED, State.FAIL)[turn % 4]
                study.finish(number, Outcome(state, (loss_of(params),) if state is State.COMPLETE else None), {})
        found[forgetful] = asked
    assert found[False] == found[True]


def test_the_default_search_is_that_of_a_plain_optuna_loop(tmp_path):
    """With the seed of each trial set to ours, `ask` and `tell` give the same configurations, one by one."""
    ours = run(tmp_path / "j", "tpe", FLAT, 40, seed=3)
    study, theirs = optuna.create_study(), []
    for number in range(40):
        study.sampler = optuna.samplers.TPESampler(seed=derive(3, "sampler", number) % 2**32)
        trial = study.ask()
        params = {
            "x": trial.suggest_float("x", 0.0, 1.0),
            "lr": trial.suggest_float("lr", 1e-4, 1.0, log=True),
            "n": trial.suggest_int("n", 1, 9),
            "kind": trial.suggest_categorical("kind", ["a", "b"]),
        }
        theirs.append(params)
        study.tell(trial, loss_of(params))
    assert ours == theirs


# -- what a sampler cannot do is done by another ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gp", "cmaes"])
def test_what_the_joint_model_leaves_out_is_drawn_by_tpe(name):
    made = make_sampler_factory(Component.parse(name), CONDITIONAL, 0, 1)
    first, second = made(0)._independent_sampler, made(1)._independent_sampler
    assert isinstance(first, optuna.samplers.TPESampler)
    assert first._rng.rng.random() != second._rng.rng.random()


@pytest.mark.parametrize(("trials", "population"), [(20, 8), (100, 20), (1000, 50)])
def test_the_population_of_nsga2_follows_the_budget(trials, population):
    assert make_sampler_factory(Component.parse("nsga2"), FLAT, 0, 2, trials)(0)._population_size == population
    given = make_sampler_factory(Component.parse("nsga2:population_size=30"), FLAT, 0, 2, trials)
    assert given(0)._population_size == 30


class Learning(optuna.samplers.RandomSampler):
    """Remembers the ends of trials itself, as an own sampler may."""

    def __init__(self, seed=None):
        super().__init__(seed)
        self.ends = []

    def after_trial(self, study, trial, state, values):
        self.ends.append((trial.number, state.name, values))


def test_an_own_sampler_that_learns_from_ends_is_one_for_the_burst(tmp_path):
    factory = make_sampler_factory(Component.parse(f"{__name__}.Learning"), FLAT, 0, 1)
    study, kept = Study(str(tmp_path / "s"), FLAT, (LOSS,)), []
    for value in (3.0, None, 2.0):
        number, _ = study.ask(lambda n: kept.append(factory(n)) or kept[-1])
        error = Outcome(State.FAIL, error="OSError: stale")
        study.finish(number, error if value is None else Outcome(State.COMPLETE, (value,)), {})
    ends = [(0, "COMPLETE", [3.0]), (1, "FAIL", None), (2, "COMPLETE", [2.0])]
    assert [sampler.ends for sampler in kept] == [ends]
    study.flush()
    again, found = Study(str(tmp_path / "s"), FLAT, (LOSS,)), factory(3)
    again.ask(lambda n: found)
    assert found.ends == ends, "the next burst teaches its sampler first"
