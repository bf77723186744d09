"""One function, three executors, the same numbers; and what deadlocks or gets lost where Tune and Train are stacked."""

from dataclasses import replace

import pytest
import ray
from bursts import prepare_sweep

import raybayes as rb
from raybayes import catalog
from raybayes.engine.on_ray.connect import make_slot_limit, slot_bundle_of
from raybayes.engine.on_ray.controller_actor import start_controller
from raybayes.engine.on_ray.tune import run_trials
from raybayes.errors import ResourceError, TrialError

CONFIG = {"steps": 4, "noise": 0.1, "method": "momentum"}


def curve(run):
    names = ["trial", "repeat", "step", "loss", "size", "final"]
    return run.reports.select(names).to_pylist()


@pytest.fixture(scope="module")
def in_process(tmp_path_factory):
    folder = str(tmp_path_factory.mktemp("here"))
    return curve(rb.train("parabola", CONFIG, storage=folder, name="here", seed=5, executor="local"))


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
class TestSameNumbers:
    def test_ray_train_with_one_worker_is_bit_equal(self, in_process, tmp_path):
        run = rb.train("parabola", CONFIG, storage=str(tmp_path), name="train1", seed=5)
        assert curve(run) == in_process

    def test_ray_train_with_two_workers_agrees_without_noise(self, tmp_path):
        config = {**CONFIG, "noise": 0.0}
        alone = rb.train("parabola", config, storage=str(tmp_path), name="alone", executor="local")
        both = rb.train(
            "parabola", {**config, "log": str(tmp_path / "log")}, storage=str(tmp_path), name="two", workers=2
        )
        losses = [[row["loss"] for row in run.reports.to_pylist()] for run in (alone, both)]
        assert losses[1] == pytest.approx(losses[0], rel=1e-12)
        ranks = {line.split()[2] for line in (tmp_path / "log").read_text().splitlines()}
        assert ranks == {"0", "1"}

    def test_tune_trial_in_its_actor_is_bit_equal(self, in_process, tmp_path):
        sweep = rb.sweep(
            "parabola", trials=1, config={**CONFIG, "lr": 0.1, "momentum.beta": 0.9}, storage=str(tmp_path), seed=5
        )
        assert curve(sweep) == in_process

    def test_tune_trial_of_several_workers_runs_nested_and_gives_everything_back(self, tmp_path):
        # The dashboard is off, as in specs where stopping an outer trial left the inner placement group for ever.
        sweep = rb.sweep(
            "parabola",
            trials=2,
            scheduler="asha:grace_period=1,eta=2",
            config={"steps": 3},
            seed=3,  # whose second configuration is worse than the first
            workers=2,
            concurrency=2,  # more than fits: the pre-flight lets one in at a time
            storage=str(tmp_path),
        )
        states = sweep.trials["state"].to_pylist()
        assert states == ["COMPLETE", "PRUNED"]
        assert len(sweep.reports) == sum(sweep.trials["steps"].to_pylist()), "metrics without a checkpoint were lost"
        groups = ray.util.placement_group_table().values()
        assert {group["state"] for group in groups} == {"REMOVED"}
        assert ray.available_resources()["CPU"] == 2
        assert not (tmp_path / sweep.spec.name / ".ray").exists()

    @pytest.mark.slow
    def test_without_the_resource_of_slots_the_head_node_admits(self, ray_cluster, tmp_path):
        assert slot_bundle_of({"CPU": 2.0, "trial_slot": 2.0}) == {"trial_slot": 1.0}
        on_head = replace(ray_cluster, slot_bundle=slot_bundle_of({"CPU": 2.0}))
        prepared = prepare_sweep(tmp_path, trials=1, config={"steps": 1}, workers=2)
        spec, layout = prepared.spec, prepared.layout
        limit = make_slot_limit(on_head.nodes, spec)
        controller = start_controller(layout, spec, prepared.plan, catalog.roots(), limit, wait_s=0.0, shared=False)
        run_trials(controller, spec, layout.storage, on_head)
        controller.close()
        controller.kill()
        assert rb.open_sweep(layout.storage.display).trials["state"].to_pylist() == ["COMPLETE"]

    def test_an_exception_in_a_nested_worker_fails_the_trial_at_once(self, tmp_path):
        with pytest.raises(TrialError, match="asked to fail at step 2"):
            rb.train("parabola", {"steps": 2, "fail_at": 2}, workers=2, storage=str(tmp_path), name="fails")
        stored = rb.open_sweep(str(tmp_path / "fails"))
        assert stored.trials["state"].to_pylist() == ["FAIL"]
        assert stored.trials["attempts"].to_pylist() == [1], "a mistake in the code is not retried"

    def test_a_killed_nested_worker_goes_on_from_its_checkpoint(self, tmp_path):
        config = {"steps": 4, "die_at": 3, "marker": str(tmp_path / "died"), "log": str(tmp_path / "log")}
        run = rb.train("parabola", config, workers=2, storage=str(tmp_path), name="lost", checkpoint_every=0.0)
        row = run.trials.to_pylist()[0]
        assert (row["state"], row["attempts"]) == ("COMPLETE", 2)
        assert [r["step"] for r in run.reports.to_pylist()] == [1, 2, 3, 4]
        started = [
            int(line.split()[0]) for line in (tmp_path / "log").read_text().splitlines() if line.split()[2] == "0"
        ]
        assert started in ([1, 2, 3, 3, 4], [1, 2, 3, 4, 3, 4]), (
            "the second attempt began after the checkpoint of step 2"
        )

    @pytest.mark.slow  # the same of a run, and of a trial of one worker, is above and below
    def test_a_killed_worker_of_a_trial_of_several_goes_on_from_its_checkpoint(self, tmp_path):
        config = {"steps": 3, "die_at": 3, "marker": str(tmp_path / "died")}
        sweep = rb.sweep(
            "parabola", trials=2, config=config, workers=2, storage=str(tmp_path), name="s", checkpoint_every=0.0
        )
        rows = sweep.trials.to_pylist()
        assert [(row["state"], row["attempts"]) for row in rows] == [("COMPLETE", 2), ("COMPLETE", 1)]
        steps = [(row["trial"], row["step"]) for row in sweep.reports.to_pylist()]
        assert steps == [(trial, step) for trial in (0, 1) for step in (1, 2, 3)]


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
class TestTuneTrials:
    def test_a_killed_worker_is_retried_from_its_checkpoint(self, tmp_path):
        config = {"steps": 4, "die_at": 3, "marker": str(tmp_path / "died"), "log": str(tmp_path / "log"), "lr": 0.1}
        sweep = rb.sweep("parabola", trials=1, config=config, storage=str(tmp_path), checkpoint_every=0.0)
        row = sweep.trials.to_pylist()[0]
        assert (row["state"], row["attempts"]) == ("COMPLETE", 2)
        assert [int(line.split()[0]) for line in (tmp_path / "log").read_text().splitlines()] == [1, 2, 3, 3, 4]

    def test_outcomes_are_recorded_right(self, tmp_path):
        sweep = rb.sweep(
            "parabola",
            trials=4,
            config={"steps": 6, "nan_at": 2, "log": str(tmp_path / "log")},
            storage=str(tmp_path),
            max_failed_fraction=1.0,
        )
        assert set(sweep.trials["state"].to_pylist()) == {"FAIL"}
        assert set(sweep.trials["failure"].to_pylist()) == {"loss was reported as nan"}
        steps = [int(line.split()[0]) for line in (tmp_path / "log").read_text().splitlines()]
        assert max(steps) == 2, "a trial burned time after its NaN"

    def test_concurrency_one_is_reproducible(self, tmp_path):
        runs = [
            rb.sweep("parabola", trials=8, concurrency=1, seed=7, storage=str(tmp_path), name=name, config={"steps": 1})
            for name in ("first", "second")
        ]
        columns = [n for n in runs[0].trials.column_names if n.startswith("config.")]
        assert runs[0].trials.select(columns) == runs[1].trials.select(columns)
        here = rb.sweep(
            "parabola", trials=8, seed=7, storage=str(tmp_path), name="third", config={"steps": 1}, executor="local"
        )
        assert here.trials.select(columns) == runs[0].trials.select(columns)

    def test_two_slots_work_at_once(self, tmp_path):
        place = tmp_path / "place"
        place.mkdir()
        sweep = rb.sweep("parabola", trials=4, config={"steps": 1, "meet": str(place)}, storage=str(tmp_path))
        assert sweep.trials["state"].to_pylist() == ["COMPLETE"] * 4, "a trial waited in vain for one beside it"
        profile = sweep.profile().to_pylist()
        assert sorted(row["trial"] for row in profile) == list(range(4))
        assert {row["slot"] for row in profile} == {1, 2}
        assert all(row["training"] > 0 for row in profile)


@pytest.mark.ray
@pytest.mark.usefixtures("ray_cluster")
def test_a_request_that_no_machine_can_give_is_refused_and_nothing_is_written(tmp_path):
    for wanted in ({"workers": 5}, {"gpus_per_worker": 1.0}, {"cpus_per_worker": 64.0}):
        with pytest.raises(ResourceError, match="never fits"):
            rb.sweep("parabola", trials=2, storage=str(tmp_path), name="never", **wanted)
    assert list(tmp_path.iterdir()) == []
