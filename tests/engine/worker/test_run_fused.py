"""Several trials trained at the same time in one process: the same results as one after the other, whatever happens."""

import itertools
from collections import Counter

import pytest
from bursts import prepare_sweep, train_here

import raybayes as rb
from raybayes.engine.controller.controller import SweepController
from raybayes.engine.messages import TrialRun
from raybayes.engine.worker.run_fused import FusedContexts
from raybayes.errors import TrialError

CONFIG = {"noise": 0.5, "steps": 4, "method": "plain"}


def prepared(folder, name, fuse, **options):
    """The sweep that `sweep` runs, for a controller that the test hands in."""
    config = {**CONFIG, "log": str(folder / f"{name}.log")}
    return prepare_sweep(folder, name, trials=8, fuse=fuse, config=config, **options)


def sweep(folder, name, fuse="never", trials=8, config=None, **wanted):
    log = folder / f"{name}.log"
    return rb.sweep(
        "parabola", trials=trials, sampler="random", storage=str(folder), name=name, fuse=fuse, executor="local",
        config={**CONFIG, **(config or {}), "log": str(log)}, **wanted,
    )  # fmt: skip


def steps(folder, name):
    """The trials in the order in which they made steps, by learning rate."""
    return [line.split()[3] for line in (folder / f"{name}.log").read_text().splitlines()]


def curves(found):
    rows = found.reports.select(["trial", "repeat", "step", "loss", "final"]).to_pylist()
    return sorted(rows, key=lambda row: (row["trial"], row["repeat"], row["step"]))


def ends(found):
    return found.trials.select(["trial", "state", "steps", "loss", "config.lr"]).to_pylist()


def sizes(order):
    """How many different trials made a step in a row."""
    groups, seen = [], set()
    for rate in order:
        if rate in seen:
            groups.append(len(seen))
            seen = set()
        seen.add(rate)
    return [*groups, len(seen)]


@pytest.mark.parametrize("scheduler", ["none", "asha:eta=2,grace_period=1"])
def test_the_results_are_those_of_trials_trained_apart(tmp_path, scheduler):
    together = sweep(tmp_path, "together", fuse=8, scheduler=scheduler)
    apart = sweep(tmp_path, "apart", scheduler="none")
    own = {row["trial"]: row for row in ends(apart)}
    assert sizes(steps(tmp_path, "together"))[0] == 8
    assert [len(list(same)) for _, same in itertools.groupby(steps(tmp_path, "apart"))] == [4] * 8
    if scheduler == "none":
        assert (curves(together), ends(together)) == (curves(apart), ends(apart))
        assert together.table("path").equals(apart.table("path"))
    else:
        states = Counter(row["state"] for row in ends(together))
        assert 0 < states["PRUNED"] < 8
        assert states["PRUNED"] + states["COMPLETE"] == 8
        same = {(row["trial"], row["step"]): row["loss"] for row in curves(apart)}
        assert all(same[row["trial"], row["step"]] == row["loss"] for row in curves(together))
        assert all(own[row["trial"]]["config.lr"] == row["config.lr"] for row in ends(together))


def test_only_what_is_alike_is_trained_together(tmp_path):
    groups = []

    class ObservedController(SweepController):
        def next_runs(self, share):
            runs = super().next_runs(share)
            if len(runs) > 1:
                groups.append([run.config.get("method") for run in runs])
            return runs

    train_here(prepare_sweep(tmp_path, trials=16, config={"steps": 2}, fuse=4), ObservedController).close()
    found = rb.open_sweep(str(tmp_path / "s"))
    assert found.trials["state"].to_pylist() == ["COMPLETE"] * 16
    assert all(len(set(methods)) == 1 for methods in groups)
    assert {methods[0] for methods in groups} == {"plain", "momentum"}
    assert max(len(methods) for methods in groups) == 4
    assert sum(len(methods) for methods in groups) >= 13, "hardly any is left without company"


def test_seeds_of_one_configuration_are_trained_together(tmp_path):
    together = sweep(tmp_path, "together", fuse=6, trials=2, repeats=3)
    apart = sweep(tmp_path, "apart", trials=2, repeats=3)
    assert curves(together) == curves(apart)
    order = steps(tmp_path, "together")
    assert order[:6] == [order[0]] * 3 + [order[3]] * 3, "the first step of six runs comes first"
    assert order[0] != order[3]


def test_whose_mistake_it_was_is_found_out(tmp_path):
    config = {"fail_at": 2, "only_above": 0.2}
    with pytest.raises(TrialError):
        sweep(tmp_path, "apart", config=config, max_failed_fraction=0.0)
    with pytest.raises(TrialError):
        sweep(tmp_path, "together", fuse=8, config=config, max_failed_fraction=0.0)
    apart, together = rb.open_sweep(str(tmp_path / "apart")), rb.open_sweep(str(tmp_path / "together"))
    states = Counter(together.trials["state"].to_pylist())
    assert 0 < states["FAIL"] < 8
    assert states["COMPLETE"] == 8 - states["FAIL"]
    assert ends(together) == ends(apart)
    failures = [row["failure"] for row in together.trials.to_pylist() if row["state"] == "FAIL"]
    assert all("asked to fail at step 2" in failure for failure in failures)


@pytest.mark.parametrize("moment", [1, 9, 14, 21, 31])
def test_death_at_a_report(tmp_path, moment):
    class Death(BaseException):
        """Not an Exception, so that nothing on the way takes it for a mistake of a trial."""

    apart = sweep(tmp_path, "apart")
    counter = itertools.count(1)

    class MortalController(SweepController):
        def on_report(self, key, report):
            answer = super().on_report(key, report)
            if next(counter) == moment:
                raise Death
            return answer

    with pytest.raises(Death):
        train_here(prepared(tmp_path, "s", fuse=5, checkpoint_every=0.0), MortalController)
    (tmp_path / "s" / "burst.lock").unlink()  # its process is this one, which lives on
    before = len(steps(tmp_path, "s"))
    found = rb.resume(str(tmp_path / "s"), executor="local")
    assert (curves(found), ends(found)) == (curves(apart), ends(apart))
    assert len(steps(tmp_path, "s")) - before <= 8 * 4 - (moment - 2), "what had a checkpoint was not done again"


def test_a_stop_pauses_all_of_them_with_their_checkpoints(tmp_path):
    apart = sweep(tmp_path, "apart")
    counter = itertools.count(1)

    class StoppedController(SweepController):
        def on_report(self, key, report):
            if next(counter) == 11:
                self.stop()
            return super().on_report(key, report)

    train_here(prepared(tmp_path, "s", fuse=8), StoppedController).close()
    found = rb.open_sweep(str(tmp_path / "s"))
    assert found.trials["state"].to_pylist() == ["PAUSED"] * 8
    found = rb.resume(str(tmp_path / "s"), executor="local")
    assert (curves(found), ends(found)) == (curves(apart), ends(apart))
    assert len(steps(tmp_path, "s")) == 8 * 4, "no step was made twice"


def test_the_time_of_a_group_is_divided_among_its_trials():
    class Clock:
        now = 0.0

        def elapsed(self):
            return self.now

    class Member:
        def __init__(self):
            self.times, self.attempt, self.node = rb.engine.messages.TimeBreakdown(), 1, "n"

        def save(self):
            pass

        close = save

    clock, stopped = Clock(), []
    runs = [TrialRun("p", {}, number, 0, 0, None, 0.0) for number in range(2)]
    first, second = Member(), Member()
    fused = FusedContexts(stopped.append, clock)
    fused.begin(list(zip(runs, [first, second], strict=True)))
    clock.now, second.times.reporting = 10.0, 4.0
    fused._stop_one(first)
    clock.now = 15.0
    assert [done.key for done in fused.end_all()] == [(1, 0)]
    assert [done.key for done in stopped] == [(0, 0)]
    assert (first.times.training, second.times.training) == (3.0, 8.0)
