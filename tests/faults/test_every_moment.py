"""A driver that dies at any of its moments: what is on the disk then is all that the next burst has.

The death is simulated: the burst is dropped where it stands, nothing is closed or flushed, its lock stays behind.
"""

import itertools
import random
from collections import Counter

import pytest

import raybayes as rb
from raybayes.engine.controller.controller import SweepController
from raybayes.space import Choice, Float, Space

SPACE = Space({"x": Float(0.0, 1.0), "k": Choice("a", "b")})
CALLS = ("next_run", "start_run", "on_report", "finish")
TRIALS, STEPS = 9, 3


class Death(BaseException):
    """Not an Exception, so that nothing on the way takes it for a mistake of the trial."""


def curve(config):
    for epoch in range(1, STEPS + 1):
        yield {"loss": config["x"] + 1 / epoch}


def run(folder, workers):
    return rb.simulate(curve, SPACE, trials=TRIALS, workers=workers, sampler="random", storage=str(folder), name="s")


def die_at(monkeypatch, moment, after):
    """The burst dies before (or after) its n-th call."""
    counter, dead = itertools.count(), []

    def deadly(original):
        def call(self, *arguments, **options):
            mine = next(counter)
            if mine == moment and not after:
                dead.append(mine)
                raise Death
            answer = original(self, *arguments, **options)
            if mine == moment:
                dead.append(mine)
                raise Death
            return answer

        return call

    def close(self):
        if dead:
            raise Death
        return whole(self)

    whole = SweepController.close
    for name in CALLS:
        monkeypatch.setattr(SweepController, name, deadly(getattr(SweepController, name)))
    monkeypatch.setattr(SweepController, "close", close)


def tear(files, rng):
    """What a crash of the machine may leave: the last lines of the open files are cut. Returns how many were."""
    torn = 0
    for path in files:
        whole = path.read_bytes()
        path.write_bytes(whole[: len(whole) - rng.randint(0, min(40, len(whole)))])
        torn += path.stat().st_size < len(whole)
    return torn


def assert_whole(sweep, lost_reports=0):
    rows = sweep.trials.to_pylist()
    assert [row["trial"] for row in rows if row["state"] != "COMPLETE"] == [], "something is RUNNING or was lost"
    assert len(rows) == TRIALS
    assert len({(row["config.x"], row["config.k"]) for row in rows}) == TRIALS, "a configuration was run twice"
    reports = Counter((row["trial"], row["step"]) for row in sweep.reports.to_pylist())
    assert set(reports.values()) == {1}
    assert len(rows) * STEPS - len(reports) <= lost_reports


@pytest.mark.parametrize("after", [False, True])
@pytest.mark.parametrize("moment", [0, 1, 2, 3, 5, 8, 13, 19, 26, 34, 43, 52])
def test_death_at_a_call_of_the_driver(tmp_path, monkeypatch, moment, after):
    with monkeypatch.context() as patch:
        die_at(patch, moment, after)
        with pytest.raises(Death):
            run(tmp_path, workers=3)
    (tmp_path / "s" / "burst.lock").unlink()  # its process is this one, which lives on
    found = run(tmp_path, workers=2)
    assert_whole(found.sweep)
    started = Counter(row["trial"] for row in found.events.to_pylist() if row["kind"] == "start")
    assert max(started.values()) == 1


@pytest.mark.parametrize("torn", ["study.journal", "reports/*.jsonl"])
@pytest.mark.parametrize("seed", range(4))
def test_deaths_again_and_again_with_torn_files(tmp_path, monkeypatch, seed, torn):
    """A torn journal costs nothing; a torn log of reports costs the torn line, never a trial or its result."""
    rng, cut = random.Random(seed), 0
    for _ in range(4):
        with monkeypatch.context() as patch:
            die_at(patch, rng.randint(2, 25), rng.random() < 0.5)
            try:
                run(tmp_path, workers=rng.randint(1, 4))
            except Death:
                (tmp_path / "s" / "burst.lock").unlink()
        cut += tear((tmp_path / "s").glob(torn), rng)
    assert cut > 0
    assert_whole(run(tmp_path, workers=2).sweep, lost_reports=0 if torn == "study.journal" else cut)
