"""Damaged sweeps: each damage is named, readers show what is whole, a resume refuses, and a repair saves all it can."""

import json
import random
import shutil
from pathlib import Path

import pytest

import raybayes as rb
from raybayes.cli.main import main
from raybayes.errors import StoreError
from raybayes.store.filesystem import open_storage
from raybayes.store.layout import Layout
from raybayes.sweeps import whole
from raybayes.sweeps.repair import Mender, find_damage

TRIALS, CUTS = 60, 12  # 50 cuts: python -m benchmarks.faults.repairs


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A sweep with trials of every end; a failed one each time the learning rate is high."""
    folder = tmp_path_factory.mktemp("finished")
    config = {"steps": 3, "fail_at": 2, "only_above": 0.3}
    options = {"storage": str(folder), "name": "s", "seed": 4, "executor": "local", "max_failed_fraction": 1.0}
    return rb.sweep("parabola", trials=TRIALS, config=config, scheduler="median", **options).path


@pytest.fixture
def sweep(finished, tmp_path):
    """A copy of it that a test may damage."""
    shutil.copytree(finished, tmp_path / "s")
    whole.warn_of_damage.cache_clear()
    return tmp_path / "s"


def known(path):
    """What the tables say of each trial, without what only the journal's clock knows."""
    skipped = ("started", "ended", "seconds")
    return [{k: v for k, v in row.items() if k not in skipped} for row in rb.open_sweep(path).trials.to_pylist()]


def layout_of(path):
    return Layout(open_storage(str(path)))


def test_the_sweep_has_every_end(finished):
    assert {row["state"] for row in known(finished)} == {"COMPLETE", "PRUNED", "FAIL"}


def test_a_whole_sweep_has_no_damage(finished, capsys):
    assert main(["check", finished]) == 0
    assert capsys.readouterr().out == f"{finished}: whole\n"


def test_a_journal_cut_at_any_place_is_rebuilt_whole(finished, tmp_path):
    """At each of so many seeded places, all trials that the tables know are recovered."""
    journal = Path(finished, "study.journal").read_bytes()
    before, rng = known(finished), random.Random(19)
    shutil.copytree(finished, tmp_path / "s")
    for _ in range(CUTS):
        (tmp_path / "s" / "study.journal").write_bytes(journal[: rng.randrange(len(journal))])
        Mender(layout_of(tmp_path / "s")).repair()
        assert known(tmp_path / "s") == before
        assert find_damage(layout_of(tmp_path / "s")) == []


@pytest.mark.parametrize("how", ["emptied", "lost"])
def test_a_journal_that_is_gone(sweep, finished, how, caplog):
    journal = sweep / "study.journal"
    journal.write_bytes(b"") if how == "emptied" else journal.unlink()
    assert [row["state"] for row in known(sweep)] == [row["state"] for row in known(finished)]
    assert caplog.text.count("Shown is what is whole") == 1
    with pytest.raises(StoreError, match=f"raybayes check {sweep} --repair"):
        rb.resume(sweep, executor="local")
    assert main(["check", str(sweep), "--repair"]) == 0
    assert known(sweep) == known(finished)


@pytest.mark.parametrize("text", [b"\x00\x00garbage", b'{"op_code": 77}', b'{"op_code": 5, "trial_id": 3}', b"[1, 2]"])
def test_a_broken_line_in_the_middle(sweep, finished, text, caplog, capsys):
    lines = (sweep / "study.journal").read_bytes().splitlines(keepends=True)
    lines[200] = text + b"\n"
    (sweep / "study.journal").write_bytes(b"".join(lines))
    assert len(known(sweep)) == TRIALS
    assert main(["check", str(sweep)]) == 2
    assert "study.journal:201: " in capsys.readouterr().out
    assert main(["check", str(sweep), "--repair"]) == 0
    assert known(sweep) == known(finished)
    assert (sweep / "damaged" / "1" / "study.journal").read_bytes() == b"".join(lines)
    rb.extend(sweep, 1, executor="local")
    assert len(known(sweep)) == TRIALS + 1


def test_the_line_that_creates_a_trial_is_lost(sweep, finished):
    """The others keep their numbers, although trials are only counted in a journal."""
    lines = (sweep / "study.journal").read_bytes().splitlines(keepends=True)
    creating = [i for i, line in enumerate(lines) if json.loads(line)["op_code"] == 4]
    lines[creating[7]] = b"{\n"
    (sweep / "study.journal").write_bytes(b"".join(lines))
    (sweep / "trials.parquet").unlink()
    Mender(layout_of(sweep)).repair()
    assert known(sweep) == known(finished)


def test_a_trial_that_nobody_knows_does_not_count(sweep):
    """Its configuration is in the journal alone, as in a burst that was killed before it wrote its tables."""
    journal = (sweep / "study.journal").read_bytes()
    (sweep / "study.journal").write_bytes(journal[: len(journal) // 2])
    (sweep / "trials.parquet").unlink()
    shutil.rmtree(sweep / "checkpoints")
    done = Mender(layout_of(sweep)).repair()
    left = len(known(sweep))
    assert 20 < left < TRIALS
    assert sum("its configuration, so it does not count" in sentence for sentence in done.lost) == TRIALS - left
    rb.resume(sweep, executor="local")
    assert len(known(sweep)) == TRIALS


def test_checkpoints_know_the_configuration(sweep, finished):
    with_state = sorted(int(path.name) for path in (sweep / "checkpoints").iterdir())
    (sweep / "study.journal").unlink()
    (sweep / "trials.parquet").unlink()
    Mender(layout_of(sweep)).repair()
    rows = {row["trial"]: row for row in known(sweep)}
    assert with_state == sorted(rows)
    assert all(rows[n]["config.lr"] == known(finished)[n]["config.lr"] for n in with_state)


def test_a_truncated_table_of_trials(sweep, finished, capsys):
    data = (sweep / "trials.parquet").read_bytes()
    (sweep / "trials.parquet").write_bytes(data[: len(data) // 2])
    assert main(["check", str(sweep)]) == 2
    assert capsys.readouterr().out.startswith("trials.parquet: not a complete Parquet file\n")
    assert main(["check", str(sweep), "--repair"]) == 0
    assert known(sweep) == known(finished)
    assert (sweep / "damaged" / "1" / "trials.parquet").exists()


def test_truncated_reports_are_set_aside_and_named(sweep, capsys, caplog):
    path = sweep / "reports" / "burst-0000.parquet"
    path.write_bytes(path.read_bytes()[:-100])
    assert main(["export", str(sweep), "--what", "reports", "--out", "-"]) == 0
    assert caplog.text.count("Shown is what is whole") == 1
    with pytest.raises(StoreError, match="--repair"):
        rb.resume(sweep, executor="local")
    assert main(["check", str(sweep), "--repair"]) == 0
    assert "lost: reports/burst-0000.parquet: the reports of that burst" in capsys.readouterr().out
    assert main(["check", str(sweep)]) == 0


def test_a_broken_report_in_a_log(sweep, capsys):
    row = {"trial": 0, "repeat": 0, "attempt": 1, "step": 9, "seconds": 1.0, "time": 1.0, "node": "n", "loss": 1.0}
    line = json.dumps(row)
    (sweep / "reports" / "burst-0001.jsonl").write_text(f"{line}\n{line[:30]}\n{line}\n{line[:9]}")
    assert main(["check", str(sweep)]) == 2
    out = capsys.readouterr().out
    assert "reports/burst-0001.jsonl:2: not a complete report\n" in out
    assert "reports/burst-0001.jsonl:4: not a complete report\n" in out
    assert main(["show", str(sweep)]) == 0
    assert main(["check", str(sweep), "--repair"]) == 0
    assert "lost: reports/burst-0001.jsonl:2: one report" in capsys.readouterr().out


def test_a_spec_without_keys_is_restored(sweep, finished, capsys):
    (sweep / "sweep.yaml").write_text("schema: 2\nproject: parabola\n")
    assert main(["show", str(sweep)]) == 2
    wanted = f"it lacks the keys parameters, objectives, fidelity; restore it: raybayes check {sweep} --repair."
    assert wanted in capsys.readouterr().err
    assert main(["check", str(sweep), "--repair"]) == 0
    assert rb.open_sweep(sweep).spec == rb.open_sweep(finished).spec


def test_a_spec_that_no_burst_has_kept(sweep, capsys):
    (sweep / "sweep.yaml").unlink()
    (sweep / "bursts" / "0000-sweep.yaml").unlink()
    assert main(["check", str(sweep), "--repair"]) == 2
    assert "no burst has kept a copy of it; restore it from a backup" in capsys.readouterr().err


def test_a_torn_last_line_is_said_and_costs_nothing_finished(sweep, caplog):
    with (sweep / "study.journal").open("ab") as file:
        file.write(b'{"op_code": 4, "study')
    rb.extend(sweep, 1, executor="local")
    assert "study.journal: its last line is incomplete, as a crash leaves it; that line is dropped" in caplog.text
    assert len(known(sweep)) == TRIALS + 1


def test_a_folder_that_is_no_sweep(tmp_path, capsys):
    assert main(["check", str(tmp_path)]) == 2
    assert "not a sweep: the folder has no sweep.yaml" in capsys.readouterr().err


def test_json(sweep, capsys):
    (sweep / "study.journal").unlink()
    assert main(["check", str(sweep), "--json"]) == 2
    [found] = json.loads(capsys.readouterr().out)["damage"]
    assert (found["file"], found["line"], found["trials"]) == ("study.journal", None, list(range(TRIALS)))
