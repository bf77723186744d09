"""A driver that dies at any of its moments: what is on the disk then is all that the next burst has.

The death is simulated: the burst is dropped where it stands, nothing is closed or flushed, its lock stays behind.
"""

import functools
import itertools
import random
from collections import Counter

import pytest
from bursts import prepare_sweep, replay

import raybayes as rb
from raybayes.engine.controller.controller import SweepController

TRIALS, STEPS = 9, 3


class Death(BaseException):
    """Not an Exception, so that nothing on the way takes it for an error of the trial."""


class MortalController(SweepController):
    """Dies before (or after) its n-th call."""

    def __init__(self, *arguments, moment, after, **named):
        self._calls, self._moment, self._after = itertools.count(), moment, after
        super().__init__(*arguments, **named)

    def _mortal(self, call, *arguments):
        due = next(self._calls) == self._moment
        if due and not self._after:
            raise Death
        answer = call(*arguments)
        if due:
            raise Death
        return answer

    def next_run(self):
        return self._mortal(super().next_run)

    def start_run(self, *arguments):
        return self._mortal(super().start_run, *arguments)

    def on_report(self, *arguments):
        return self._mortal(super().on_report, *arguments)

    def finish(self, *arguments):
        return self._mortal(super().finish, *arguments)


def curve(run):
    for epoch in range(1, STEPS + 1):
        yield {"loss": run.config["lr"] + 1 / epoch}


def burst(folder, workers, kind=SweepController):
    return replay(prepare_sweep(folder, trials=TRIALS), curve, workers, kind)


def burst_that_dies(folder, workers, moment, after):
    """Whether it died; it may have ended before."""
    try:
        burst(folder, workers, functools.partial(MortalController, moment=moment, after=after))
    except Death:
        (folder / "s" / "burst.lock").unlink()  # its process is this one, which lives on
        return True
    return False


def tear(files, rng):
    """What a crash of the machine may leave: the last lines of the open files are cut. Returns how many were."""
    torn = 0
    for path in files:
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) - rng.randint(0, min(40, len(whole)))])
        torn += path.stat().st_size < len(whole)
    return torn


def assert_whole(folder, lost_reports=0):
    sweep = rb.open_sweep(str(folder / "s"))
    rows = sweep.trials.to_pylist()
    assert [row["trial"] for row in rows if row["state"] != "COMPLETE"] == [], "something is RUNNING or was lost"
    assert len(rows) == TRIALS
    assert len({(row["config.lr"], row["config.method"]) for row in rows}) == TRIALS, "a configuration was run twice"
    reports = Counter((row["trial"], row["step"]) for row in sweep.reports.to_pylist())
    assert set(reports.values()) == {1}
    assert len(rows) * STEPS - len(reports) <= lost_reports


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("moment", [0, 1, 2, 3, 5, 8, 13, 19, 26, 34, 43, 52])
def test_death_at_a_call_of_the_driver(tmp_path, moment, after):
    assert burst_that_dies(tmp_path, 3, moment, after)
    events = burst(tmp_path, workers=2).events
    assert_whole(tmp_path)
    started = Counter(event.trial for event in events if event.kind == "start")
    assert max(started.values()) == 1


@pytest.mark.parametrize("torn", ["study.journal", "reports/*.jsonl"])
@pytest.mark.parametrize("seed", range(4))
def test_deaths_again_and_again_with_torn_files(tmp_path, seed, torn):
    """A torn journal costs nothing; a torn log of reports costs the torn line, never a trial or its result."""
    rng, cut = random.Random(seed), 0
    for _ in range(4):
        burst_that_dies(tmp_path, rng.randint(1, 4), rng.randint(2, 25), rng.random() < 0.5)
        cut += tear((tmp_path / "s").glob(torn), rng)
    assert cut > 0
    burst(tmp_path, workers=2)
    assert_whole(tmp_path, lost_reports=0 if torn == "study.journal" else cut)
