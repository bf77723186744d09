"""The journal with grouped writes against Optuna's own: the same file, the same study, and what a crash leaves."""

import json
import os

import optuna
import pytest
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend

from raybayes.errors import StoreError
from raybayes.search.study.journal import GroupedJournal, drop_torn_line

LINE = b'{"op_code":0}\n'


def work(study: optuna.Study) -> None:
    """Some of everything: asked, reported, told in three ways, put into the queue, left running."""
    study.enqueue_trial({"x": 0.25, "kind": "b"})
    for i in range(4):
        trial = study.ask()
        x = trial.suggest_float("x", 0.0, 1.0)
        kind = trial.suggest_categorical("kind", ["a", "b", None])
        trial.set_user_attr("note", {"text": f"Grüße {i}", "kind": kind})
        trial.report(x, 1)
        if i == 0:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
        elif i == 1:
            study.tell(trial, state=optuna.trial.TrialState.FAIL)
        elif i == 2:
            trial.set_constraint("c", -1.0)
            study.tell(trial, x)


def study_on(backend) -> optuna.Study:
    sampler = optuna.samplers.RandomSampler(seed=3)
    return optuna.create_study(study_name="s", storage=JournalStorage(backend), sampler=sampler, load_if_exists=True)


def facts(study: optuna.Study) -> list[object]:
    return [
        (t.number, t.state, t.params, t.values, t.intermediate_values, t.user_attrs, t.system_attrs, t.distributions)
        for t in study.get_trials(deepcopy=False)
    ]


def lines(path) -> list[dict[str, object]]:
    """The journal without what differs from run to run."""
    volatile = ("worker_id", "datetime_start", "datetime_complete")
    return [{k: v for k, v in json.loads(line).items() if k not in volatile} for line in path.read_bytes().splitlines()]


def test_after_a_flush_the_file_is_optunas_own(tmp_path):
    ours = GroupedJournal(str(tmp_path / "ours"), writer=True)
    work(study_on(ours))
    ours.flush()
    work(study_on(JournalFileBackend(str(tmp_path / "theirs"))))
    assert lines(tmp_path / "ours") == lines(tmp_path / "theirs")
    plain = study_on(JournalFileBackend(str(tmp_path / "ours")))
    assert facts(plain) == facts(study_on(JournalFileBackend(str(tmp_path / "theirs"))))
    assert len(facts(plain)) == 4


def test_nothing_is_on_disk_before_the_flush_and_everything_is_visible(tmp_path):
    journal = GroupedJournal(str(tmp_path / "journal"), writer=True)
    study = study_on(journal)
    work(study)
    assert (tmp_path / "journal").read_bytes() == b""
    assert len(study.trials) == 4
    journal.flush()
    written = (tmp_path / "journal").read_bytes()
    assert written.endswith(b"\n")
    journal.flush()
    assert (tmp_path / "journal").read_bytes() == written
    assert not [name for name in os.listdir(tmp_path) if name != "journal"], "no lock stays behind"


def test_work_in_many_groups_equals_work_in_one(tmp_path):
    one, many = GroupedJournal(str(tmp_path / "one"), True), GroupedJournal(str(tmp_path / "many"), True)
    first, second = study_on(one), study_on(many)
    for study, journal in ((first, one), (second, many)):
        for i in range(6):
            trial = study.ask()
            trial.suggest_int("n", 0, 9)
            if journal is many:
                journal.flush()
            study.tell(trial, i)
    one.flush()
    many.flush()
    assert lines(tmp_path / "one") == lines(tmp_path / "many")
    assert facts(first) == facts(second) == facts(study_on(GroupedJournal(str(tmp_path / "one"), False)))


def test_logs_are_read_from_any_number(tmp_path):
    journal = GroupedJournal(str(tmp_path / "journal"), True)
    journal.append_logs([{"op_code": 0, "n": i} for i in range(3)])
    journal.flush()
    journal.append_logs([{"op_code": 0, "n": i} for i in range(3, 6)])
    for start in range(7):
        assert [log["n"] for log in journal.read_logs(start)] == list(range(start, 6))


def test_a_second_opening_goes_on(tmp_path):
    for _ in range(3):
        journal = GroupedJournal(str(tmp_path / "journal"), True)
        work(study_on(journal))
        journal.flush()
    assert len(study_on(GroupedJournal(str(tmp_path / "journal"), True)).trials) == 12


# -- what a crash leaves -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "kept"),
    [
        (b"", b""),
        (LINE, LINE),
        (LINE + b'{"op_co', LINE),
        (LINE + b"{" + b"x" * 200_000, LINE),
        (LINE * 3 + b"\0\0\0", LINE * 3),
        (b'{"op_co', b""),
        (b"y" * 70_000 + b"\n" + b"z", b"y" * 70_000 + b"\n"),
    ],
)
def test_a_torn_last_line_is_cut(tmp_path, content, kept):
    file = tmp_path / "journal"
    file.write_bytes(content)
    drop_torn_line(file)
    assert file.read_bytes() == kept


def test_nothing_is_cut_from_a_missing_file(tmp_path):
    drop_torn_line(tmp_path / "journal")
    assert not (tmp_path / "journal").exists()


def test_a_writer_goes_on_after_every_possible_tear(tmp_path):
    whole = tmp_path / "whole"
    journal = GroupedJournal(str(whole), True)
    work(study_on(journal))
    journal.flush()
    content = whole.read_bytes()
    for length in range(len(content.splitlines(True)[0]), len(content), 97):
        torn = tmp_path / f"torn-{length}"
        torn.write_bytes(content[:length])
        before = study_on(GroupedJournal(str(torn), False))
        assert torn.read_bytes() == content[:length], "a reader leaves the file as it is"
        writer = GroupedJournal(str(torn), True)
        after = study_on(writer)
        assert facts(after) == facts(before)
        after.tell(after.ask(), 1.0)
        writer.flush()
        again = study_on(JournalFileBackend(str(torn)))
        assert facts(again) == facts(after)


def test_a_reader_makes_no_file_and_writes_none(tmp_path):
    missing = tmp_path / "journal"
    journal = GroupedJournal(str(missing), writer=False)
    assert study_on(journal).trials == []
    journal.flush()
    assert os.listdir(tmp_path) == []
    missing.write_bytes(LINE)
    GroupedJournal(str(missing), writer=False).flush()
    assert missing.read_bytes() == LINE


@pytest.mark.parametrize("writer", [True, False])
def test_a_broken_line_in_the_middle_is_an_error(tmp_path, writer):
    file = tmp_path / "journal"
    file.write_bytes(LINE + b"{broken\n" + LINE)
    with pytest.raises(StoreError) as caught:
        list(GroupedJournal(str(file), writer).read_logs(0))
    for word in (f"{file}:2: ", "line of the study's journal is damaged", f"raybayes check {tmp_path}"):
        assert word in str(caught.value)


def test_nothing_is_written_behind_a_broken_last_line(tmp_path):
    file = tmp_path / "journal"
    file.write_bytes(LINE + b"\0\0\0\n")
    assert len(list(GroupedJournal(str(file), writer=False).read_logs(0))) == 1
    with pytest.raises(StoreError, match=r"journal:2: .*not JSON.*raybayes check"):
        GroupedJournal(str(file), writer=True)
