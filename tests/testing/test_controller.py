"""A sweep whose workers are played by the test: real decisions and real files, virtual time, no Ray."""

import pytest

import raybayes as rb
from raybayes.contract import Action
from raybayes.testing import ControllerHarness, RecordingController, VirtualClock


@pytest.fixture
def sweep(tmp_path):
    with ControllerHarness("parabola", tmp_path, trials=3, retries=1) as sweep:
        yield sweep


class TestPlayedWorkers:
    def test_ask_report_finish_until_nothing_is_left(self, sweep):
        for number in range(3):
            run = sweep.ask()
            assert run.key == (number, 0)
            assert sweep.report(run, {"loss": 2.0, "size": 1.0}) is Action.CONTINUE
            assert sweep.report(run, {"loss": 1.0 + number, "size": 1.0}, seconds=3.0, last=True) is Action.CONTINUE
            sweep.finish(run)
        assert sweep.ask() is None
        assert sweep.progress().states == {"COMPLETE": 3}
        sweep.close()
        rows = sweep.results.trials.to_pylist()
        assert [row["loss"] for row in rows] == [1.0, 2.0, 3.0]
        assert [row["seconds"] for row in rows] == [4.0] * 3
        assert sweep.clock.now() == 12.0

    def test_a_number_that_is_not_finite_fails_the_trial(self, sweep):
        run = sweep.ask()
        assert sweep.report(run, {"loss": float("nan"), "size": 1.0}) is Action.FAIL
        sweep.finish(run)
        assert sweep.progress().states == {"FAIL": 1}

    def test_an_error_fails_the_trial_and_is_kept(self, sweep):
        run = sweep.ask()
        sweep.finish(run, "ValueError: no")
        sweep.close()
        assert sweep.results.trials["failure"].to_pylist()[0] == "ValueError: no"

    def test_a_lost_run_starts_again_until_its_retries_are_used(self, sweep):
        run = sweep.ask()
        for _ in range(2):  # the first loss, then the one retry
            sweep.lose(run)
            sweep.clock.advance(3600)
            again = sweep.ask()
        assert again.key != run.key
        assert sweep.progress().states == {"FAIL": 1}

    def test_a_scheduler_stops_the_worse_half(self, tmp_path):
        with ControllerHarness("parabola", tmp_path, trials=8, scheduler="asha:eta=2", config={"steps": 8}) as sweep:
            answers = []
            while (run := sweep.ask()) is not None:
                action, step = Action.CONTINUE, 0
                while action is Action.CONTINUE and step < 8:
                    step += 1
                    action = sweep.report(run, {"loss": float(run.trial), "size": 1.0}, last=step == 8)
                sweep.finish(run)
                answers.append(action)
        assert answers[0] is Action.CONTINUE
        assert answers[-1] is Action.PRUNE, "each trial was worse than all before"
        assert set(sweep.results.trials["state"].to_pylist()) == {"COMPLETE", "PRUNED"}

    def test_stop_pauses_what_runs_and_another_burst_resumes_it(self, sweep):
        run = sweep.ask()
        sweep.stop()
        assert sweep.report(run, {"loss": 1.0, "size": 1.0}) is Action.PAUSE
        sweep.finish(run)
        assert sweep.ask() is None
        sweep.close()
        assert rb.resume(sweep.path, executor="local").trials["state"].to_pylist() == ["COMPLETE"] * 3

    def test_a_clock_can_be_handed_in(self, tmp_path):
        clock = VirtualClock(5.0)
        with ControllerHarness("parabola", tmp_path, clock=clock, trials=2, time_budget=10) as sweep:
            run = sweep.ask()
            assert sweep.report(run, {"loss": 1.0, "size": 1.0}, seconds=20.0) is Action.PAUSE, "the time is over"
        assert clock.now() == 25.0


class TestTraining:
    def test_the_projects_own_function_in_this_process(self, tmp_path):
        with ControllerHarness("parabola", tmp_path, trials=2) as sweep:
            assert sweep.train().states == {"COMPLETE": 2}
        expected = rb.sweep("parabola", trials=2, storage=str(tmp_path), name="other", executor="local")
        assert sweep.results.trials["loss"].to_pylist() == expected.trials["loss"].to_pylist()

    def test_until_a_step(self, tmp_path):
        with ControllerHarness("parabola", tmp_path, trials=1) as sweep:
            sweep.train(until=2)
        assert sweep.results.trials["state"].to_pylist() == ["PAUSED"]
        assert sweep.results.reports["step"].to_pylist() == [1, 2]

    def test_it_says_what_was_trained_together(self, tmp_path):
        with ControllerHarness("parabola", tmp_path, trials=1, repeats=3, fuse=3) as sweep:
            sweep.train()
        assert sweep.fused == (3,)


def test_a_recording_controller_answers_continue():
    controller = RecordingController()
    assert controller.start_run((0, 0), "here").attempt == 1
    assert controller.reports == []
