"""Whole bursts without Ray: population-based training, repeats, retention, samplers and schedulers."""

import itertools
from collections import Counter

import pytest

import raybayes as rb
from raybayes.store.checkpointing import checkpoints, retention

HERE = {"executor": "local", "checkpoint_every": 0.0}


class TestPopulation:
    @pytest.mark.parametrize(("size", "interval", "trials", "steps"), [(4, 1, 8, 4), (4, 2, 20, 9), (6, 3, 30, 12)])
    def test_children_go_on_from_their_parents(self, tmp_path, size, interval, trials, steps):
        sweep = rb.sweep("parabola", trials=trials, scheduler=f"pbt:size={size},interval={interval}",
                         config={"steps": steps}, storage=str(tmp_path), **HERE)  # fmt: skip
        states = Counter(sweep.trials["state"].to_pylist())
        assert set(states) == {"COMPLETE", "PRUNED"}
        assert states["COMPLETE"] == size, "as many end as began"
        first = {}
        for row in sweep.reports.to_pylist():
            first.setdefault(row["trial"], row["step"])
        parents = {record.number: record.notes["parent"] for record in sweep.records if "parent" in record.notes}
        assert parents, "nobody was replaced"
        assert set(first) - set(parents) == {trial for trial, step in first.items() if step == 1}
        reached = {(row["trial"], row["step"]) for row in sweep.reports.to_pylist()}
        for child, parent in parents.items():
            assert (parent, first[child] - 1) in reached, "a child starts where its parent has been"

    def test_a_population_begins_where_other_trials_or_an_earlier_one_have_ended(self, tmp_path):
        rb.sweep("parabola", trials=5, config={"steps": 4}, storage=str(tmp_path), name="s", **HERE)
        sweep = rb.extend(str(tmp_path / "s"), 9, scheduler="pbt:size=4,interval=1", executor="local")
        founders = [record.notes.get("population") for record in sweep.records if "parent" not in record.notes]
        assert founders[:5] == [None] * 5
        assert founders.count(1) == 4
        assert len(sweep.trials) > 9, "nobody was replaced"
        more = rb.extend(sweep.path, 2, executor="local")
        assert len(more.trials) > len(sweep.trials)
        assert more.records[len(sweep.trials)].notes["population"] == 2
        assert set(more.trials["state"].to_pylist()) == {"COMPLETE", "PRUNED"}

    def test_a_population_that_was_cut_short_goes_on(self, tmp_path):
        wanted = {"trials": 8, "scheduler": "pbt:size=4,interval=1", "config": {"steps": 6, "sleep_s": 0.02}}
        sweep = rb.sweep("parabola", storage=str(tmp_path), time_budget=0.15, **wanted, **HERE)
        assert "PAUSED" in sweep.trials["state"].to_pylist()
        done = rb.resume(sweep.path, time_budget=None, executor="local")
        founders = [record.notes["population"] for record in done.records if "parent" not in record.notes]
        assert founders == [1] * 4
        assert set(done.trials["state"].to_pylist()) == {"COMPLETE", "PRUNED"}

    def test_it_ends_better_than_without_exploitation(self, tmp_path):
        def median_loss(scheduler, name):
            folder = str(tmp_path)
            sweep = rb.sweep(
                "parabola", trials=24, scheduler=scheduler, config={"steps": 12}, storage=folder, name=name, **HERE
            )
            losses = sorted(row["loss"] for row in sweep.trials.to_pylist() if row["state"] == "COMPLETE")
            return losses[len(losses) // 2]

        assert median_loss("pbt:size=6,interval=2", "with") < median_loss("none", "without")


class TestRepeats:
    def test_the_objective_is_the_mean_and_carries_its_error(self, tmp_path):
        sweep = rb.sweep(
            "parabola", trials=3, repeats=4, config={"noise": 0.3, "steps": 2}, storage=str(tmp_path), **HERE
        )
        for row in sweep.trials.to_pylist():
            last = [r["loss"] for r in sweep.reports.to_pylist() if r["trial"] == row["trial"] and r["step"] == 2]
            mean = sum(last) / 4
            deviation = (sum((value - mean) ** 2 for value in last) / 3) ** 0.5
            assert row["loss"] == pytest.approx(mean)
            assert row["loss.se"] == pytest.approx(deviation / 2)

    def test_with_a_scheduler_only_survivors_are_repeated(self, tmp_path):
        sweep = rb.sweep(
            "parabola", trials=9, repeats=2, scheduler="asha", config={"steps": 9}, storage=str(tmp_path), **HERE
        )
        seeds = Counter()
        for trial, rows in itertools.groupby(sweep.reports.to_pylist(), key=lambda row: row["trial"]):
            seeds[trial] = len({row["repeat"] for row in rows})
        for row in sweep.trials.to_pylist():
            assert seeds[row["trial"]] == (2 if row["state"] == "COMPLETE" else 1)
        assert "PRUNED" in sweep.trials["state"].to_pylist()

    def test_one_failed_repeat_fails_the_trial(self, tmp_path):
        sweep = rb.sweep(
            "parabola",
            trials=2,
            repeats=3,
            config={"nan_at": 2},
            storage=str(tmp_path),
            max_failed_fraction=1.0,
            **HERE,
        )
        assert sweep.trials["state"].to_pylist() == ["FAIL", "FAIL"]
        assert {row["repeat"] for row in sweep.reports.to_pylist()} == {0}, "the other seeds burned time"


class TestRetention:
    def test_the_best_of_the_sweep_keep_their_newest_checkpoint(self, tmp_path):
        sweep = rb.sweep("parabola", trials=8, keep_checkpoints=3, storage=str(tmp_path), **HERE)
        rows = sorted(sweep.trials.to_pylist(), key=lambda row: row["loss"])
        kept = {trial: checkpoints.list_steps(sweep.layout, trial, 0) for trial in range(8)}
        assert {trial for trial, steps in kept.items() if steps} == {row["trial"] for row in rows[:3]}
        assert all(steps in ([], [4]) for steps in kept.values())

    def test_none_is_kept_if_none_is_wanted(self, tmp_path):
        sweep = rb.sweep("parabola", trials=3, keep_checkpoints=0, storage=str(tmp_path), **HERE)
        assert retention.list_trials_with_checkpoints(sweep.layout) == set()


class TestSearches:
    @pytest.mark.parametrize("sampler", ["tpe", "gp", "cmaes", "nsga2", "random", "optuna.samplers.QMCSampler"])
    def test_every_sampler(self, tmp_path, sampler):
        sweep = rb.sweep("parabola", trials=12, sampler=sampler, storage=str(tmp_path), **HERE)
        assert sweep.trials["state"].to_pylist() == ["COMPLETE"] * 12
        first = sweep.trials.to_pylist()[0]
        assert (first["config.lr"], first["config.method"]) == (0.1, "plain"), "the default configuration comes first"

    def test_grid_runs_every_point_once(self, tmp_path):
        sweep = rb.sweep("parabola", trials=99, sampler="grid", space="GRID", storage=str(tmp_path), **HERE)
        points = sweep.trials.select(["config.lr", "config.steps"]).to_pylist()
        assert len(points) == 6
        assert len({tuple(point.values()) for point in points}) == 6

    @pytest.mark.parametrize("scheduler", ["asha", "median", "hyperband"])
    def test_schedulers_prune_and_keep_the_whole_curve(self, tmp_path, scheduler):
        sweep = rb.sweep("parabola", trials=16, scheduler=scheduler, config={"steps": 9}, storage=str(tmp_path), **HERE)
        rows = sweep.trials.to_pylist()
        assert {row["state"] for row in rows} == {"COMPLETE", "PRUNED"}
        for row in rows:
            curve = [r for r in sweep.reports.to_pylist() if r["trial"] == row["trial"]]
            assert len(curve) == row["steps"]
            assert row["loss"] == curve[-1]["loss"], "the report at which it was stopped counts"

    @pytest.mark.parametrize("scheduler", ["asha", "median", "hyperband", "pbt:size=6,interval=2"])
    def test_no_trial_is_stopped_before_its_first_report_that_tells(self, tmp_path, scheduler):
        sweep = rb.sweep(
            "parabola", trials=16, scheduler=scheduler, config={"steps": 12, "grace": 4}, storage=str(tmp_path), **HERE
        )
        stopped = [row["steps"] for row in sweep.trials.to_pylist() if row["state"] == "PRUNED"]
        assert stopped, "the scheduler still stops trials"
        assert min(stopped) >= 4
        early = rb.sweep("parabola", trials=16, scheduler=scheduler, config={"steps": 12}, storage=str(tmp_path),
                         name="early", **HERE)  # fmt: skip
        assert min(row["steps"] for row in early.trials.to_pylist() if row["state"] == "PRUNED") < 4

    def test_constraints_reach_the_sampler_and_the_winner(self, tmp_path):
        sweep = rb.sweep("parabola", trials=8, constraints={"loss": ">= 0.5"}, storage=str(tmp_path), **HERE)
        feasible = [row for row in sweep.trials.to_pylist() if row["loss"] >= 0.5]
        assert [row["feasible"] for row in sweep.trials.to_pylist()] == [
            row["loss"] >= 0.5 for row in sweep.trials.to_pylist()
        ]
        assert sweep.best["loss"] == min(row["loss"] for row in feasible)

    def test_several_objectives_have_a_front(self, tmp_path):
        sweep = rb.sweep(
            "parabola", trials=6, sampler="grid", space="GRID", objective="loss,size", storage=str(tmp_path), **HERE
        )
        rows = [(row["loss"], row["size"], row["trial"]) for row in sweep.trials.to_pylist()]
        front = [t for a, b, t in rows if not any(c <= a and d <= b and (c, d) != (a, b) for c, d, _ in rows)]
        assert sweep.pareto["trial"].to_pylist() == front
        assert len(front) == 2
