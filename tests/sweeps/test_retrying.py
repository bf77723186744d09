"""`resume --retry-failed`: failed trials run again under their numbers, and nothing else does."""

import json

import pytest

import raybayes as rb
from raybayes.cli.main import main
from raybayes.engine.controller import journal_file
from raybayes.space import Float

SPACE = {"x": Float(0, 1)}


class Training:
    """A training whose mistake is mended by `broken_above = 1`; it notes the configurations that it was called with."""

    def __init__(self):
        self.broken_above, self.called = 0.6, []

    def __call__(self, config):
        self.called.append(config["x"])
        for step in range(1, 4):
            yield {"loss": config["x"] + 1 / step}
            if step == 2 and config["x"] > self.broken_above:
                raise ValueError(f"broken above {self.broken_above}")


@pytest.fixture(scope="module")
def training():
    return Training()


@pytest.fixture(scope="module")
def failed(tmp_path_factory, training):
    """100 trials of which 40 have failed."""
    cut = sorted(row["config.x"] for row in _sweep(lambda config: config["x"], tmp_path_factory).trials.to_pylist())
    training.broken_above = cut[59]
    found = _sweep(training, tmp_path_factory, name="s")
    assert found.trials["state"].to_pylist().count("FAIL") == 40
    return found


def _sweep(function, folders, **options):
    values = {"space": SPACE, "objective": {"loss": "minimize"}, "trials": 100, "sampler": "random"}
    return rb.sweep(function, storage=folders.mktemp("runs"), executor="local", **values, **options)


class TestRefused:
    def test_a_trial_that_did_not_fail(self, failed, training):
        done = next(row["trial"] for row in failed.trials.to_pylist() if row["state"] == "COMPLETE")
        with pytest.raises(rb.SpecError, match=rf"trial {done} did not fail, it is COMPLETE; failed trials: \d+, "):
            rb.resume(failed.path, train=training, retry_failed=[done], executor="local")
        with pytest.raises(rb.SpecError, match="trial 100 did not fail, there is none; failed trials: "):
            rb.resume(failed.path, train=training, retry_failed=[100], executor="local")

    def test_what_is_no_number(self, failed, training):
        with pytest.raises(rb.SpecError, match=r"retry_failed: found 'some'; give True, \"all\", or a list"):
            rb.resume(failed.path, train=training, retry_failed="some", executor="local")

    def test_trials_without_the_flag(self, failed, capsys):
        assert main(["resume", failed.path, "3", "4"]) == 2
        assert "found the trials 3, 4; --retry-failed runs failed trials again" in capsys.readouterr().err


def test_exactly_the_failed_ones_run_again(failed, training):
    before = {row["trial"]: row for row in failed.trials.to_pylist()}
    broken = [number for number, row in before.items() if row["state"] == "FAIL"]
    first, training.broken_above = training.broken_above, 1.0
    training.called.clear()
    found = rb.resume(failed.path, train=training, retry_failed=broken[:1], executor="local")
    assert training.called == [before[broken[0]]["config.x"]]
    found = rb.resume(failed.path, train=training, retry_failed=True, executor="local")
    after = {row["trial"]: row for row in found.trials.to_pylist()}
    assert sorted(training.called) == sorted(before[number]["config.x"] for number in broken)
    assert len(training.called) == 40
    for number, row in after.items():
        again = number in broken
        assert (row["state"], row["attempts"], row["failure"]) == ("COMPLETE", 1 + again, None)
        assert row["config.x"] == before[number]["config.x"]
        assert row["loss"] == pytest.approx(row["config.x"] + 1 / 3)
        assert row["earlier_failures"] == (f"ValueError: broken above {first}" if again else None)
        assert row["ended"] == before[number]["ended"] or again
    reports = found.reports.to_pylist()
    assert len(reports) == 300
    assert {row["attempt"] for row in reports if row["trial"] in broken} == {2}
    with pytest.raises(rb.SpecError, match=r"no trial of .* has failed; resume it without"):
        rb.resume(failed.path, train=training, retry_failed=True, executor="local")


def test_a_crash_while_trials_are_opened_again_is_no_damage(tmp_path, monkeypatch):
    """The table of trials may be behind the study, never ahead of it."""

    def fails(config):
        raise ValueError("no")

    found = rb.sweep(fails, space=SPACE, objective={"loss": "minimize"}, trials=2, storage=tmp_path, name="s",
                     executor="local", max_failed_fraction=1.0)  # fmt: skip
    monkeypatch.setattr(journal_file, "reopen_failed", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    with pytest.raises(KeyboardInterrupt):
        rb.resume(found.path, train=fails, retry_failed=True, executor="local")
    monkeypatch.undo()
    again = rb.resume(found.path, train=lambda config: config["x"], retry_failed=True, executor="local")
    assert again.trials["state"].to_pylist() == ["COMPLETE"] * 2


def test_a_retry_that_stops_early_has_none_of_the_old_curve(tmp_path):
    """Also where the training makes fewer reports than before, and where it makes none."""
    reports = [5, 0, 2]

    def train(config):
        if not reports[0]:
            raise ValueError("at once")
        for step in range(reports[0]):
            yield {"loss": float(step)}
        raise ValueError(reports[0])

    found = rb.sweep(
        train, space=SPACE, objective={"loss": "minimize"}, trials=1, storage=tmp_path, executor="local",
        max_failed_fraction=1.0, name="s",
    )  # fmt: skip
    reports.pop(0)
    found = rb.resume(found.path, train=train, retry_failed="all", executor="local")
    row = found.trials.to_pylist()[0]
    assert (row["state"], row["loss"], row["attempts"]) == ("FAIL", None, 2)
    assert row["failure"].startswith("ValueError: at once")
    reports.pop(0)
    found = rb.resume(found.path, train=train, retry_failed="all", executor="local")
    row = found.trials.to_pylist()[0]
    assert row["earlier_failures"] == "ValueError: 5; then ValueError: at once"
    assert [row["step"] for row in found.reports.to_pylist()] == [1, 2]
    assert found.trials["attempts"].to_pylist() == [3]


def test_on_the_command_line_a_killed_retry_is_resumed(tmp_path, capsys):
    """The trials that were opened again are unfinished ones: an interruption before their end loses nothing."""
    options = ["--storage", str(tmp_path), "--name", "s", "--local", "-s", "steps=2", "-s", "fail_at=2", "--json",
               "--max-failed-fraction", "1"]  # fmt: skip
    assert main(["sweep", "parabola", "--trials", "3", "--sampler", "random", "-s", "only_above=0.02", *options]) == 0
    rows = json.loads(capsys.readouterr().out)["trials"]
    failed = [row["trial"] for row in rows if row["state"] == "FAIL"]
    assert failed
    path = str(tmp_path / "s")
    code = main(["resume", path, "--local", "--json", "--time-budget", "0.0001", "--retry-failed", str(failed[0])])
    assert code == 0
    rows = json.loads(capsys.readouterr().out)["trials"]
    assert [row["trial"] for row in rows if row["state"] == "PAUSED"] == failed[:1]
    assert main(["resume", path, "--local", "--json", "--time-budget", "1h"]) == 0
    rows = json.loads(capsys.readouterr().out)["trials"]
    assert all(row["attempts"] == (2 if row["trial"] == failed[0] else 1) for row in rows)
