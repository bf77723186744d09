"""What a training function may do to itself: the trial fails with its reason, the others go on."""

import resource

import pytest

import raybayes as rb
from raybayes.errors import StoreError
from raybayes.store.checkpointing import checkpoints


@pytest.mark.parametrize(
    ("vice", "words"), [("eat_at", "MemoryError"), ("fail_at", "asked to fail at step 2"), ("nan_at", "as nan")]
)
def test_a_trial_that_fails(tmp_path, vice, words):
    config = {"only_above": 0.2, vice: 2, "steps": 3} if vice != "nan_at" else {vice: 2, "steps": 3}
    options = {"executor": "local", "max_failed_fraction": 1.0, "seed": 1}
    sweep = rb.sweep("parabola", trials=5, config=config, storage=str(tmp_path), **options)
    rows = sweep.trials.to_pylist()
    bad = [vice == "nan_at" or row["config.lr"] > 0.2 for row in rows]
    assert any(bad)
    assert [row["state"] == "FAIL" for row in rows] == bad
    assert [words in (row["failure"] or "") for row in rows] == bad
    assert {row["attempts"] for row in rows} == {1}, "a mistake of the function is not retried"


@pytest.mark.parametrize("limit", [2500, 4000, 6000])
def test_a_full_disk_stops_the_burst_and_loses_nothing(tmp_path, limit):
    """No file may grow beyond the limit: writes end in the middle of a line, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(StoreError, match="File too large"):
            rb.sweep("parabola", trials=12, storage=str(tmp_path), name="s", executor="local", checkpoint_every=0.0)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    found = rb.resume(str(tmp_path / "s"), executor="local")
    assert found.trials["trial"].to_pylist() == list(range(12))
    assert found.trials["state"].to_pylist() == ["COMPLETE"] * 12
    assert len(found.reports) == 12 * 4


def test_a_disk_that_is_really_full(small_disk, tmp_path):
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(2 * 2**20 - 40 * 1024))
    with pytest.raises(StoreError, match="No space left on device"):
        rb.sweep("parabola", trials=30, storage=str(small_disk), name="s", executor="local", checkpoint_every=0.0)
    ballast.unlink()
    found = rb.resume(str(small_disk / "s"), executor="local")
    assert found.trials["state"].to_pylist() == ["COMPLETE"] * 30
    assert found.trials["trial"].to_pylist() == list(range(30))
    assert len(found.reports) == 30 * 4


def test_a_checkpoint_that_the_disk_refuses_does_not_fail_the_trial(tmp_path, monkeypatch, caplog):
    def refused(*arguments):
        raise StoreError("cannot write this: No space left on device") from OSError("No space left on device")

    monkeypatch.setattr(checkpoints, "save_rank", refused)
    sweep = rb.sweep("parabola", trials=2, storage=str(tmp_path), executor="local", checkpoint_every=0.0)
    assert sweep.trials["state"].to_pylist() == ["COMPLETE"] * 2
    assert "step 1: no checkpoint was written" in caplog.text


@pytest.mark.parametrize("how_many", [1, 2])
@pytest.mark.parametrize("damage", ["half", "bit"])
def test_a_damaged_checkpoint_is_not_resumed_from(tmp_path, damage, how_many, caplog):
    """The one before it is used; where that is damaged too, the trial begins anew. The numbers are the same."""
    config, log = {"steps": 80, "noise": 0.3}, tmp_path / "log"
    sweep = rb.sweep("parabola", trials=1, config={**config, "sleep_s": 0.02, "log": str(log)}, storage=str(tmp_path),
                     name="s", executor="local", checkpoint_every=0.0, time_budget=0.8)  # fmt: skip
    assert sweep.trials["state"].to_pylist() == ["PAUSED"]
    before, newest = checkpoints.list_steps(sweep.layout, 0, 0)
    for step in (newest, before)[:how_many]:
        path = sweep.layout.storage.local_path(f"{sweep.layout.checkpoint(0, 0, step)}/rank-0.pt")
        data = bytearray(path.read_bytes())
        if damage == "bit":
            data[len(data) // 2] ^= 1
        path.write_bytes(data if damage == "bit" else data[: len(data) // 2])
    made = len(log.read_text().splitlines())
    found = rb.resume(sweep.path, executor="local", time_budget=None)
    assert found.trials["state"].to_pylist() == ["COMPLETE"]
    assert caplog.text.count("this checkpoint is skipped") == how_many
    first = int(log.read_text().splitlines()[made].split()[0])
    assert first == (before + 1 if how_many == 1 else 1)
    whole = rb.sweep("parabola", trials=1, config=config, storage=str(tmp_path), name="w", executor="local")
    assert found.reports["loss"].to_pylist() == whole.reports["loss"].to_pylist()
