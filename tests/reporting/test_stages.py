"""What a burst does until its first report, named with its seconds."""

import itertools

import pytest

from raybayes.reporting.stages import Stages
from raybayes.reporting.watching import silent, watching
from raybayes.search.progress import Ended, Progress, Running


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


def at(clock, stages, seconds, progress):
    clock.now = seconds
    return stages.on_progress(progress)


def test_long_stages_are_named_and_short_ones_are_not(clock):
    stages = Stages(clock)
    assert at(clock, stages, 0.5, Progress(4, stage="starting Ray")) == []
    assert at(clock, stages, 4.5, Progress(4, stage="opening the study")) == ["starting Ray: 4.0 s"]
    assert at(clock, stages, 5.0, Progress(4)) == []
    assert stages.current() == "starting slots, 0 s"
    assert at(clock, stages, 8.0, Progress(4, running=(Running(0, 0, 0, None),))) == ["starting slots: 3.0 s"]
    reported = Progress(4, running=(Running(0, 0, 1, 0.5),))
    assert at(clock, stages, 9.0, reported) == ["first report after 9.0 s"]
    assert stages.current() == ""
    assert at(clock, stages, 20.0, reported) == []


def test_silence_before_the_first_report_is_broken_within_five_seconds(clock):
    stages = Stages(clock)
    stages.on_progress(Progress(4, stage="starting Ray"))
    said = []
    for half in range(1, 40):
        clock.now = half / 2
        if line := stages.overdue():
            said.append((clock.now, line))
    times = [0.0, *(when for when, _ in said)]
    assert max(later - earlier for earlier, later in itertools.pairwise(times)) <= 5.0
    assert said[0][1].startswith("starting Ray, ")


def test_a_first_report_that_takes_minutes_does_not_fill_the_log(clock):
    stages = Stages(clock)
    said = 0
    for second in range(600):
        clock.now = float(second)
        said += bool(stages.overdue())
    assert 15 <= said <= 30


def test_a_burst_that_only_closes_trials_has_no_stage():
    ended = Progress(2, {"COMPLETE": 1}, ended=(Ended(0, "COMPLETE", 0.5, None),))
    assert ended.waits_for == ""


class TestWatching:
    def test_a_function_gets_the_progress_itself(self):
        got = []
        with watching(got.append, "s") as watch:
            watch(Progress(3))
        assert got == [Progress(3)]

    def test_false_is_silent(self, capsys):
        with watching(False, "s") as watch:
            assert watch is silent
        assert capsys.readouterr() == ("", "")

    def test_a_script_gets_lines(self, capsys):
        with watching(True, "s") as watch:
            watch(Progress(3, {"COMPLETE": 1}, ended=(Ended(0, "COMPLETE", 0.5, None),), best=(0, 0.5)))
        lines = capsys.readouterr().err.splitlines()
        assert lines[0].endswith("s: starting")
        assert lines[-1].endswith("trial 0 COMPLETE 0.5  (1 of 3, best 0.5 (n = 1) in trial 0)")
