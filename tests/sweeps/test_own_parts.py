"""Samplers and schedulers of a user's own: as objects, and by import path."""

from dataclasses import dataclass

import optuna
import pytest

import raybayes as rb

SPACE = rb.Space({"x": rb.Float(0, 1)})
HERE = {"executor": "local"}


@dataclass(frozen=True)
class Above:
    """Stops every trial whose loss at `step` is above `limit`."""

    limit: float = 0.5
    step: int = 2

    def should_continue(self, curves, trial, step):
        return step != self.step or curves.by_trial[trial][step] <= self.limit


class Odd:
    """No dataclass: what it is cannot be stored."""

    def should_continue(self, curves, trial, step):
        return trial % 2 == 0


def curve(config):
    for _ in range(4):
        yield {"loss": config["x"]}


def sweep(folder, **options):
    return rb.sweep(
        curve, space=SPACE, objective={"loss": "minimize"}, trials=8, storage=folder, name="s", **options, **HERE
    )


class TestScheduler:
    @pytest.mark.parametrize("scheduler", [Above(0.4), f"{__name__}.Above:limit=0.4"])
    def test_it_decides_and_is_stored(self, tmp_path, scheduler):
        found = sweep(tmp_path, scheduler=scheduler, sampler="random")
        assert found.spec.scheduler.name == f"{__name__}.Above"
        with pytest.raises(rb.SpecError, match=r"names .*Above, which would be imported; .* --allow-import"):
            rb.extend(found.path, 8, train=curve, **HERE)
        found = rb.extend(found.path, 8, train=curve, allow_import=__name__, **HERE)
        for row in found.trials.to_pylist():
            assert (row["state"], row["steps"]) == (("COMPLETE", 4) if row["config.x"] <= 0.4 else ("PRUNED", 2))

    def test_what_is_no_dataclass_is_given_again(self, tmp_path):
        found = sweep(tmp_path, scheduler=Odd(), sampler="random")
        assert found.trials["state"].to_pylist() == ["COMPLETE", "PRUNED"] * 4
        with pytest.raises(rb.SpecError, match=r"Odd was given as an object in Python.*rb\.resume\(path, scheduler="):
            rb.extend(found.path, 2, train=curve, **HERE)
        assert len(rb.extend(found.path, 2, train=curve, scheduler=Odd(), **HERE).trials) == 10

    @pytest.mark.parametrize(
        ("scheduler", "said"),
        [
            (f"{__name__}.Below", r"it cannot be imported \(module .* has no attribute 'Below'\); check the path"),
            (f"{__name__}.Above:limits=1", "unexpected keyword argument 'limits'; check its options"),
            ("collections.Counter", r"has no method should_continue\(curves, trial, step\)"),
            (object(), r"builtins\.object has no method should_continue"),
        ],
    )
    def test_what_is_none_is_refused(self, tmp_path, scheduler, said):
        with pytest.raises(rb.SpecError, match=said):
            sweep(tmp_path, scheduler=scheduler)
        assert list(tmp_path.iterdir()) == []


class TestSampler:
    def test_an_object_draws(self, tmp_path):
        found = sweep(tmp_path, sampler=optuna.samplers.QMCSampler(qmc_type="halton", seed=3))
        wanted = optuna.create_study(sampler=optuna.samplers.QMCSampler(qmc_type="halton", seed=3))
        asked = [wanted.ask({"x": optuna.distributions.FloatDistribution(0, 1)}) for _ in range(8)]
        assert found.trials["config.x"].to_pylist() == [trial.params["x"] for trial in asked]
        with pytest.raises(rb.SpecError, match=r"was given as an object in Python.*rb\.resume\(path, sampler="):
            rb.extend(found.path, 1, train=curve, **HERE)
        with pytest.raises(rb.SpecError, match=r"draws with optuna.*QMCSampler.*; give it again, or leave sampler out"):
            rb.extend(found.path, 1, train=curve, sampler=optuna.samplers.TPESampler(), **HERE)
        more = rb.extend(found.path, 2, train=curve, sampler=optuna.samplers.QMCSampler(seed=3), **HERE)
        assert len(more.trials) == 10

    def test_what_is_none_is_refused(self, tmp_path):
        with pytest.raises(
            rb.SpecError, match=r"sampler: found <object object.*give a name, or an object that is an Opt"
        ):
            sweep(tmp_path, sampler=object())
