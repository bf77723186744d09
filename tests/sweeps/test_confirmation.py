"""Confirmation, warm start, narrowing: real bursts in this process."""

import json

import pytest

import raybayes as rb
from raybayes.errors import OutOfTime, SpecError, StoreError
from raybayes.search.outcomes.confirm import Race
from raybayes.store.lock import BurstLock

HERE = {"executor": "local", "checkpoint_every": 0.0}
NOISY = {"noise": 0.5, "steps": 2}


@pytest.fixture(scope="module")
def searched(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("runs"))
    return rb.sweep("parabola", trials=10, config=NOISY, storage=folder, name="s", sampler="random", seed=1, **HERE)


class TestConfirm:
    def test_the_winner_is_the_best_mean_of_fresh_seeds(self, searched):
        before = {row["trial"]: row["loss"] for row in searched.trials.to_pylist()}
        found = rb.confirm(searched.path, 4, 6, executor="local")
        (stage,) = found.stages
        top = sorted(before, key=before.get)[:4]
        assert [entry["trial"] for entry in stage.document["candidates"]] == top
        rows = {row["trial"]: row for row in found.trials.to_pylist()}
        runs = {origin: [r["loss"] for r in stage.reports.to_pylist() if r["trial"] == i and r["step"] == 2]
                for i, origin in enumerate(top)}  # fmt: skip
        for trial in before:
            if trial in top:
                n = len(runs[trial])
                mean = sum(runs[trial]) / n
                error = (sum((x - mean) ** 2 for x in runs[trial]) / (n - 1) / n) ** 0.5
                assert (rows[trial]["loss"], rows[trial]["loss.se"]) == pytest.approx((mean, error))
                assert (rows[trial]["n"], rows[trial]["loss.searched"]) == (n, before[trial])
                assert rows[trial]["confirmed"] == (n == 6)
            else:
                assert (rows[trial]["loss"], rows[trial]["n"], rows[trial]["confirmed"]) == (before[trial], 1, False)
        standing = {trial: rows[trial]["loss"] for trial in top if rows[trial]["confirmed"]}
        assert found.best["trial"] == min(standing, key=standing.get)
        assert f"trial {found.best['trial']}" in found.best_summary
        assert "± " in found.best_summary
        assert "(n = 6" in found.best_summary
        assert set(runs[top[0]]).isdisjoint(before.values()), "a seed of the search was used again"
        losers = [trial for trial in top if not rows[trial]["confirmed"]]
        assert losers, "this seed has clear losers"
        assert Race().find_losers({t: [(x,) for x in runs[t]] for t in top}) >= set(losers)

    def test_done_is_done_and_more_seeds_are_pooled(self, searched):
        once = rb.confirm(searched.path, 4, 6, executor="local")
        again = once.confirm(4, 6, executor="local")
        assert len(again.stages) == len(once.stages) == 1
        more = once.confirm(2, 3, executor="local")
        assert len(more.stages) == 2
        both = [c["trial"] for c in more.stages[1].document["candidates"]]
        assert all(more.confirmed[t].n >= once.confirmed[t].n + 2 for t in both)

    def test_an_interrupted_one_goes_on(self, tmp_path):
        sweep = rb.sweep("parabola", trials=5, config={**NOISY, "sleep_s": 0.05}, storage=str(tmp_path), **HERE)
        half = rb.confirm(sweep.path, 2, 8, executor="local", time_budget=0.4)
        assert set(half.stages[0].trials["state"].to_pylist()) == {"PAUSED"}
        assert half.best_summary.startswith("Best: trial") or "raybayes confirm" in half.best_summary
        with pytest.raises(SpecError, match="unfinished and has other candidates"):
            rb.confirm(sweep.path, 3, 8, executor="local")
        found = rb.resume(f"{sweep.path}/confirm-1", executor="local", time_budget=None)
        assert found.path == sweep.path
        assert max(c.n for c in found.confirmed.values()) == 8
        keys = [(r["trial"], r["repeat"], r["step"]) for r in found.stages[0].reports.to_pylist()]
        assert len(keys) == len(set(keys))

    def test_at_the_end_of_a_sweep(self, tmp_path):
        found = rb.sweep("parabola", trials=4, config=NOISY, confirm="2x3", storage=str(tmp_path), **HERE)
        assert len(found.confirmed) == 2
        assert found.best["n"] == 3
        spec = {"config": {**NOISY, "sleep_s": 0.05}, "storage": str(tmp_path), "name": "cut", **HERE}
        cut = rb.sweep("parabola", trials=4, confirm="2x3", time_budget=0.15, **spec)
        assert cut.stages == [], "it is not at its end"
        assert len(cut.resume(time_budget=None, executor="local").stages) == 1

    def test_the_wall_time_counts_to_its_end(self, tmp_path):
        spec = {"config": {**NOISY, "sleep_s": 0.1}, "storage": str(tmp_path), "name": "s", **HERE}
        with pytest.raises(OutOfTime, match=r"wall-clock limit reached: 0 of 2 trials finished.*resume .*/s/confirm-1"):
            rb.sweep("parabola", trials=2, confirm="2x30", walltime=1.5, **spec)
        stage = rb.open_sweep(str(tmp_path / "s" / "confirm-1"))
        assert set(stage.trials["state"].to_pylist()) == {"PAUSED"}
        with pytest.raises(OutOfTime):
            rb.resume(stage.path, executor="local", walltime=0.3)
        with pytest.raises(OutOfTime):
            rb.confirm(str(tmp_path / "s"), 2, 30, executor="local", walltime=0.3)

    def test_it_is_shown_under_the_numbers_of_the_sweep(self, tmp_path):
        sweep = rb.sweep("parabola", trials=6, config=NOISY, storage=str(tmp_path), seed=2, **HERE)
        seen = []
        found = rb.confirm(sweep.path, 2, 3, executor="local", watch=seen.append)
        top = [entry["trial"] for entry in found.stages[0].document["candidates"]]
        assert top != [0, 1], "this seed has its best trials elsewhere"
        assert {one.trial for progress in seen for one in (*progress.ended, *progress.running)} == set(top)
        assert seen[-1].best[0] in top

    def test_not_beside_a_living_burst(self, tmp_path):
        sweep = rb.sweep("parabola", trials=3, config=NOISY, storage=str(tmp_path), **HERE)
        with BurstLock(sweep.layout), pytest.raises(StoreError, match="another burst works on this sweep"):
            sweep.confirm(2, 2, executor="local")
        assert sweep.stages == []

    def test_several_objectives(self, tmp_path):
        found = rb.sweep("parabola", trials=6, config={"noise": 0.5}, objective="loss,size", confirm="3x3",
                         storage=str(tmp_path), **HERE)  # fmt: skip
        assert found.pareto["confirmed"].to_pylist() == [True] * len(found.pareto)

    def test_what_cannot_be_confirmed(self, tmp_path, searched):
        none = rb.sweep("parabola", trials=2, constraints={"size": "<= 0"}, storage=str(tmp_path), **HERE)
        with pytest.raises(StoreError, match=r"nothing to confirm\. None of the 2 complete trials satisfies size <= 0"):
            none.confirm(executor="local")
        for read in (lambda: none.best, lambda: none.pareto, lambda: none.config()):
            with pytest.raises(StoreError, match=r"no best trial\. None of the 2 complete trials satisfies size <= 0"):
                read()
        with pytest.raises(SpecError, match="top 0 and repeats 5"):
            searched.confirm(0, executor="local")
        run = rb.train("parabola", {}, storage=str(tmp_path), name="run", executor="local")
        with pytest.raises(SpecError, match="is a train; only a sweep"):
            rb.confirm(run.path)
        with pytest.raises(SpecError, match="'5'; write TOPxSEEDS"):
            rb.sweep("parabola", confirm="5", storage=str(tmp_path), **HERE)


class TestWarmStart:
    def test_the_best_of_earlier_sweeps_come_first(self, tmp_path, searched):
        folder = searched.path.rpartition("/")[0]
        best = min(searched._searched.to_pylist(), key=lambda row: row["loss"])
        for source in ("auto", searched.path):
            found = rb.sweep("parabola", trials=6, config=NOISY, warm_start=source, storage=folder,
                             name=f"w{len(source)}", **HERE)  # fmt: skip
            assert found.trials["config.lr"][1].as_py() == best["config.lr"]
            prior = json.loads((tmp_path / found.path / "prior.json").read_bytes())
            assert searched.path in prior["sources"]
            values = [past["values"] for past in prior["past"]]
            assert [[x] in values for x in searched._searched["loss"].to_pylist()] == [True] * 10

    def test_it_is_fixed_at_the_first_start(self, tmp_path):
        folder = str(tmp_path)
        rb.sweep("parabola", trials=5, config=NOISY, storage=folder, name="one", **HERE)
        whole = rb.sweep("parabola", trials=8, config=NOISY, storage=folder, name="w", warm_start="auto", **HERE)
        short = rb.sweep("parabola", trials=8, config=NOISY, storage=folder, name="v",
                         warm_start=f"{folder}/one", **HERE)  # fmt: skip
        rb.sweep("parabola", trials=5, config=NOISY, storage=folder, name="later", seed=9, **HERE)
        prior = (tmp_path / "w" / "prior.json").read_bytes()
        whole.extend(2, executor="local")
        assert (tmp_path / "w" / "prior.json").read_bytes() == prior
        assert short.trials["config.lr"].to_pylist() == whole.trials["config.lr"].to_pylist()[:8]

    def test_by_default_nothing_is_taken_over(self, tmp_path):
        folder = str(tmp_path)
        one = rb.sweep("parabola", trials=4, storage=folder, name="one", **HERE)
        two = rb.sweep("parabola", trials=4, storage=folder, name="two", **HERE)
        assert one.trials["config.lr"].to_pylist() == two.trials["config.lr"].to_pylist()
        assert not (tmp_path / "two" / "prior.json").exists()

    @pytest.mark.parametrize(
        ("options", "words"),
        [
            ({"objective": "size"}, "its objective differs: minimize loss there, minimize size here"),
            ({"sampler": "grid", "space": "GRID"}, "grid tries every point"),
            ({"scheduler": "pbt"}, "random population"),
        ],
    )
    def test_a_foreign_sweep_is_refused_with_the_reason(self, tmp_path, searched, options, words):
        with pytest.raises(SpecError, match=words):
            rb.sweep("parabola", warm_start=searched.path, storage=str(tmp_path), **options, **HERE)
        assert list(tmp_path.iterdir()) == []
        with pytest.raises(StoreError, match="not a sweep"):
            rb.sweep("parabola", warm_start=str(tmp_path / "nothing"), storage=str(tmp_path), **HERE)

    def test_auto_passes_a_changed_space_over_and_a_name_maps_it(self, searched):
        options = {"trials": 1, "config": {"method": "plain"}, "storage": searched.path.rpartition("/")[0], **HERE}
        assert not rb.sweep("parabola", warm_start="auto", name="o", **options).layout.storage.exists("prior.json")
        found = rb.sweep("parabola", warm_start=searched.path, name="m", **options)
        assert "method is searched no longer" in found.warm_start_remark


class TestChanges:
    def test_narrowed_from_now_on(self, tmp_path):
        sweep = rb.sweep("parabola", trials=6, storage=str(tmp_path), name="s", **HERE)
        assert set(sweep.trials["config.method"].to_pylist()) == {"plain", "momentum"}
        wider = sweep.extend(6, fixed_params={"method": "plain"}, executor="local")
        assert wider.trials["config.method"].to_pylist()[6:] == ["plain"] * 6
        last = wider.extend(2, fixed_params={"lr": 0.25}, executor="local").trials.to_pylist()[-2:]
        assert {(row["config.lr"], row["config.method"]) for row in last} == {(0.25, "plain")}, "both still hold"

    def test_another_scheduler_and_concurrency(self, tmp_path):
        sweep = rb.sweep("parabola", trials=6, config={"steps": 9}, storage=str(tmp_path), name="s", **HERE)
        found = sweep.extend(8, scheduler="asha", concurrency=3, executor="local")
        assert set(found.trials["state"].to_pylist()[6:]) == {"COMPLETE", "PRUNED"}
        assert (str(found.spec.scheduler), found.spec.concurrency) == ("asha", 3)

    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            (
                {"fixed_params": {"lr": 5.0}},
                r"lr: found 5\.0; its range is .* to .*\. A value can be fixed within the range",
            ),
            ({"fixed_params": {"steps": 2}}, "the space has no parameter 'steps'; valid parameters: lr, method"),
            ({"objective": ("size",)}, r"objective: \(\) -> \('size',\) is part of what the sweep"),
            ({"space": "GRID"}, "space: 'SPACE' -> 'GRID'"),
            ({"scheduler": "asah"}, "did you mean 'asha'"),
        ],
    )
    def test_what_cannot_change_is_refused_with_the_difference(self, searched, changes, words):
        with pytest.raises(SpecError, match=words):
            rb.extend(searched.path, 1, executor="local", **changes)

    def test_a_changed_space_is_refused_with_the_difference(self, tmp_path, monkeypatch):
        from raybayes import catalog
        from raybayes.space import Float, Space

        sweep = rb.sweep("parabola", trials=1, storage=str(tmp_path), name="s", **HERE)
        monkeypatch.setattr(catalog, "load_space", lambda project, name="SPACE": Space({"lr": Float(0.1, 0.5)}))
        with pytest.raises(
            SpecError, match=r"has changed since its last burst: lr: .*0\.001.* -> .*0\.1.*; method: .* -> absent"
        ):
            sweep.extend(1, executor="local")


class TestSeveralObjectives:
    def test_dominated_trials_are_stopped_and_a_resumed_sweep_stops_the_same(self, tmp_path):
        spec = {"objective": "loss,size", "scheduler": "asha", "config": {"steps": 9}, "seed": 2}
        whole = rb.sweep("parabola", trials=24, storage=str(tmp_path), name="a", **spec, **HERE)
        assert set(whole.trials["state"].to_pylist()) == {"COMPLETE", "PRUNED"}
        halves = rb.sweep("parabola", trials=10, storage=str(tmp_path), name="b", **spec, **HERE).extend(
            14, executor="local"
        )
        names = ["trial", "state", "steps", "config.lr"]
        assert halves.trials.select(names).to_pylist() == whole.trials.select(names).to_pylist()

    def test_an_unknown_executor_is_refused(self, tmp_path):
        with pytest.raises(SpecError, match="executor: found 'banana'; give ray or local"):
            rb.sweep("parabola", trials=1, storage=str(tmp_path), name="nowhere", executor="banana")
        assert not (tmp_path / "nowhere").exists()

    def test_a_report_limit_needs_a_process_to_stop(self, tmp_path):
        with pytest.raises(SpecError, match="without Ray, nothing can stop a trial that hangs"):
            rb.sweep("parabola", report_timeout="1m", storage=str(tmp_path), **HERE)
