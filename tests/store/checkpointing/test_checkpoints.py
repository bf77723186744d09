import enum
import errno
import hashlib
import io
import json
import logging
import re
from collections import Counter, OrderedDict
from itertools import groupby

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from raybayes.clock import VirtualClock
from raybayes.errors import StoreError
from raybayes.store.checkpointing import checkpoints
from raybayes.store.checkpointing.checkpoints import (
    delete,
    find_newest,
    list_steps,
    load,
    publish,
    remove_stale_parts,
    save_rank,
    stage_rank,
    total_bytes,
    upload_rank,
)
from raybayes.store.checkpointing.retention import delete_surplus, select_deletable


def save(layout, trial, step, *, repeat=0, ranks=1, value=None):
    w = torch.full((3,), float(step if value is None else value))
    states = [{"step": step, "w": w, "rank": rank} for rank in range(ranks)]
    records = [save_rank(layout, trial, repeat, step, r, state) for r, state in enumerate(states)]
    publish(layout, trial, repeat, step, records, ranks, VirtualClock(5.0))


def value(layout, trial, repeat=0):
    ref = find_newest(layout, trial, repeat)
    return None if ref is None else float(load(ref)[0]["w"][0])


def test_a_state_comes_back_as_it_was(anywhere):
    model = torch.nn.Sequential(torch.nn.Linear(4, 3), torch.nn.BatchNorm1d(3))
    optimizer = torch.optim.Adam(model.parameters())
    model(torch.ones(2, 4)).sum().backward()
    optimizer.step()
    generator = torch.Generator().manual_seed(3)
    state = {
        "model": model.state_dict(), "optimizer": optimizer.state_dict(), "rng": generator.get_state(), "epoch": 3,
        "best": float("nan"), "done": False, "name": "x", "nothing": None, "raw": b"\x00", "seen": {1, 2},
        "shape": torch.Size([1, 2]), "dtype": torch.float16, "counts": Counter("aab"), 5: [(1, 2.5), 1j],
        "parameter": torch.nn.Parameter(torch.ones(2)), "half": torch.ones(2, dtype=torch.bfloat16),
    }  # fmt: skip
    record = save_rank(anywhere, 0, 0, 1, 0, state)
    publish(anywhere, 0, 0, 1, [record], 1)
    [back] = load(find_newest(anywhere, 0, 0))
    assert list(back) == list(state)
    torch.testing.assert_close(back["model"], OrderedDict(state["model"]), rtol=0, atol=0)
    torch.testing.assert_close(back["optimizer"]["state"], state["optimizer"]["state"], rtol=0, atol=0)
    assert torch.equal(back["rng"], state["rng"])
    assert back["best"] != back["best"]
    assert isinstance(back["parameter"], torch.nn.Parameter)
    assert torch.equal(back["half"], state["half"])
    for name in ("epoch", "done", "name", "nothing", "raw", "seen", "shape", "dtype", "counts", 5):
        assert back[name] == state[name]
        assert type(back[name]) is type(state[name])


def test_ranks_come_back_in_order_with_what_the_manifest_says(anywhere):
    save(anywhere, 12, 40, repeat=1, ranks=11)
    ref = find_newest(anywhere, 12, 1)
    assert (ref.trial, ref.repeat, ref.step, ref.world_size, ref.time) == (12, 1, 40, 11, 5.0)
    assert [state["rank"] for state in load(ref)] == list(range(11))
    assert anywhere.storage.list("checkpoints/00012-r1/00000040") == sorted(
        ["manifest.json", *(f"rank-{rank}.pt" for rank in range(11))]
    )
    manifest = json.loads(anywhere.storage.read_bytes(f"{ref.path}/manifest.json"))
    assert manifest["schema"] == 2
    assert manifest["files"][10] == {"name": "rank-10.pt", "size": ref.files[10].size, "sha256": ref.files[10].sha256}
    assert total_bytes(anywhere) >= ref.size > 0


def test_a_state_that_was_staged_is_the_same_file(anywhere):
    state = {"w": torch.arange(3.0), "step": 4}
    direct, file = save_rank(anywhere, 0, 0, 4, 0, state), io.BytesIO()
    staged = stage_rank(file, 1, 4, 0, state)
    assert staged == direct
    assert list_steps(anywhere, 1, 0) == []
    parts = []
    upload_rank(anywhere, 1, 0, 4, staged.name, file, lambda: parts.append(1))
    assert parts == [1]
    publish(anywhere, 1, 0, 4, [staged], 1)
    assert torch.equal(load(find_newest(anywhere, 1, 0))[0]["w"], state["w"])


def test_a_copy_that_is_broken_off_leaves_no_file(anywhere):
    file = io.BytesIO()
    staged = stage_rank(file, 0, 4, 0, {"w": torch.zeros(5)})

    def broken_off():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        upload_rank(anywhere, 0, 0, 4, staged.name, file, broken_off)
    assert anywhere.storage.sizes(anywhere.unpublished(0, 0, 4)) == {}


def test_a_machine_without_room_for_a_copy_is_told():
    class Full(io.BytesIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(StoreError, match="cannot hold a copy of the state: No space left on device; free some space"):
        stage_rank(Full(), 0, 4, 0, {"w": torch.zeros(3)})
    with pytest.raises(StoreError, match="which a checkpoint cannot hold"):
        stage_rank(io.BytesIO(), 0, 4, 0, {"w": object()})


def test_the_newest_step_wins(anywhere):
    assert find_newest(anywhere, 0, 0) is None
    for step in (2, 100, 30):
        save(anywhere, 0, step)
    assert list_steps(anywhere, 0, 0) == [2, 30, 100]
    assert value(anywhere, 0) == 100.0
    assert find_newest(anywhere, 0, 1) is None
    assert find_newest(anywhere, 1, 0) is None


def test_a_step_published_again_is_replaced(anywhere):
    save(anywhere, 0, 5, ranks=3, value=1.0)
    save(anywhere, 0, 5, ranks=2, value=2.0)
    ref = find_newest(anywhere, 0, 0)
    assert [float(state["w"][0]) for state in load(ref)] == [2.0, 2.0]
    assert anywhere.storage.list(ref.path) == ["manifest.json", "rank-0.pt", "rank-1.pt"]
    assert anywhere.storage.list(anywhere.trial(0, 0)) == ["00000005"]


def test_a_half_written_checkpoint_is_none(anywhere):
    save(anywhere, 0, 5)
    save_rank(anywhere, 0, 0, 6, 0, {"w": torch.zeros(1)})
    assert list_steps(anywhere, 0, 0) == [5]
    assert value(anywhere, 0) == 5.0
    [removed] = remove_stale_parts(anywhere)
    assert removed == anywhere.unpublished(0, 0, 6)
    assert anywhere.storage.list(anywhere.trial(0, 0)) == ["00000005"]
    assert remove_stale_parts(anywhere) == []


@pytest.mark.parametrize("position", [0.0, 0.3, 0.6, 0.999])
def test_a_flipped_bit_sends_the_trial_to_the_checkpoint_before(anywhere, position, caplog):
    save(anywhere, 3, 1)
    save(anywhere, 3, 2)
    path = f"{anywhere.checkpoint(3, 0, 2)}/rank-0.pt"
    data = bytearray(anywhere.storage.read_bytes(path))
    data[int(position * len(data))] ^= 0b100
    anywhere.storage.write_bytes(path, bytes(data))
    with caplog.at_level(logging.WARNING, logger="raybayes.store"):
        assert value(anywhere, 3) == 1.0
    [record] = caplog.records
    assert "sweep/checkpoints/00003/00000002: this checkpoint is skipped: rank-0.pt has an" in record.getMessage()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda s, f: s.delete(f"{f}/rank-1.pt"), "rank-1.pt should have .* found no such file"),
        (lambda s, f: s.write_bytes(f"{f}/rank-1.pt", b"short"), "rank-1.pt should have .* found 5"),
        (lambda s, f: s.write_bytes(f"{f}/manifest.json", b'{"schema": 1, "tri'), "its manifest cannot be read"),
        (lambda s, f: s.write_bytes(f"{f}/manifest.json", b'{"schema": 1}'), "its manifest cannot be read"),
        (lambda s, f: s.write_bytes(f"{f}/manifest.json", b"[]"), "its manifest cannot be read"),
        (
            lambda s, f: s.write_bytes(
                f"{f}/manifest.json", s.read_bytes(f"{f}/manifest.json").replace(b'p": 2', b'p": 9')
            ),
            "its manifest is that of trial 0, repeat 0, step 9",
        ),
    ],
)
def test_a_damaged_folder_is_skipped(anywhere, damage, said, caplog):
    save(anywhere, 0, 1, ranks=2)
    save(anywhere, 0, 2, ranks=2)
    damage(anywhere.storage, anywhere.checkpoint(0, 0, 2))
    assert value(anywhere, 0) == 1.0
    assert caplog.records[0].message.count("skipped") == 1
    assert re.search(said, caplog.records[0].message)


def test_when_all_are_damaged_the_trial_starts_anew(layout):
    save(layout, 0, 1)
    layout.storage.delete(f"{layout.checkpoint(0, 0, 1)}/rank-0.pt")
    assert find_newest(layout, 0, 0) is None


def test_a_checkpoint_of_a_newer_raybayes_is_refused(layout, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "SCHEMA", 3)
        save(layout, 0, 1)
    with pytest.raises(StoreError, match=r"manifest\.json: found schema 3, written by a newer raybayes"):
        find_newest(layout, 0, 0)


def test_publishing_needs_every_rank(layout):
    record = save_rank(layout, 4, 0, 2, 0, {"w": 1})
    for records in ([], [record], [record, record]):
        with pytest.raises(StoreError, match=r"a checkpoint of 2 ranks needs rank-0\.pt, rank-1\.pt, found"):
            publish(layout, 4, 0, 2, records, 2)
    assert find_newest(layout, 4, 0) is None


def test_files_of_a_dead_attempt_with_more_ranks_are_left_out(layout):
    save_rank(layout, 0, 0, 1, 3, {"w": 1})
    save(layout, 0, 1, ranks=2)
    assert layout.storage.list(layout.checkpoint(0, 0, 1)) == ["manifest.json", "rank-0.pt", "rank-1.pt"]


class Colour(enum.StrEnum):
    RED = "red"


@pytest.mark.parametrize(
    ("wrong", "where"),
    [
        ({"model": {"a": [1, Colour.RED]}}, r"state\['model'\]\['a'\]\[1\] is a .*Colour"),
        ({"rng": torch.Generator()}, r"state\['rng'\] is a torch\._C\.Generator"),
        ({"f": len}, r"state\['f'\] is a builtins\.builtin_function_or_method"),
        ({Colour.RED: 1}, r"a key of state is a .*Colour"),
        ({"seen": frozenset({1})}, r"state\['seen'\] is a builtins\.frozenset"),
    ],
)
def test_what_could_not_be_read_is_not_written(layout, wrong, where):
    with pytest.raises(StoreError, match=rf"trial 2, step 9: {where}, which a checkpoint cannot hold; use tensors"):
        save_rank(layout, 2, 0, 9, 0, wrong)
    assert list(layout.storage.sizes()) == []


def test_numpy_numbers_are_named(layout):
    np = pytest.importorskip("numpy")
    with pytest.raises(StoreError, match=r"state\['best'\] is a numpy\.float64"):
        save_rank(layout, 2, 0, 9, 0, {"best": np.float64(0.5)})


def forged(layout, data_of):
    """A checkpoint whose file was written by other means, with a manifest that agrees."""
    buffer = io.BytesIO()
    torch.save(data_of, buffer)
    data = buffer.getvalue()
    layout.storage.write_bytes(f"{layout.unpublished(0, 0, 1)}/rank-0.pt", data)
    record = checkpoints.FileRecord("rank-0.pt", len(data), hashlib.sha256(data).hexdigest())
    publish(layout, 0, 0, 1, [record], 1)
    return find_newest(layout, 0, 0)


def test_a_foreign_type_is_named_and_never_run(layout):
    with pytest.raises(StoreError, match=r"rank-0\.pt: this checkpoint holds \S*Colour, which is not loaded, because"):
        load(forged(layout, {"colour": Colour.RED}))


def test_a_file_that_holds_no_mapping_is_refused(layout):
    with pytest.raises(StoreError, match="found list; the file of a rank holds one mapping"):
        load(forged(layout, [1, 2]))


def test_a_file_that_goes_after_it_was_chosen_is_named(layout):
    save(layout, 0, 1)
    ref = find_newest(layout, 0, 0)
    layout.storage.write_bytes(f"{ref.path}/rank-0.pt", b"PK no zip")
    with pytest.raises(StoreError, match=r"rank-0\.pt: this is not a complete checkpoint|holds something other"):
        load(ref)
    delete(layout, 0, 0, 1)
    with pytest.raises(StoreError, match="no such file"):
        load(ref)


def test_deleting_leaves_the_others(anywhere):
    save(anywhere, 0, 1)
    save(anywhere, 0, 2)
    delete(anywhere, 0, 0, 2)
    delete(anywhere, 0, 0, 2)
    assert list_steps(anywhere, 0, 0) == [1]
    delete(anywhere, 0, 0, 1)
    assert list_steps(anywhere, 0, 0) == []
    assert total_bytes(anywhere) == 0


def test_a_deletion_cut_short_leaves_no_checkpoint(anywhere, monkeypatch):
    save(anywhere, 0, 1)
    save(anywhere, 0, 2)
    remove = type(anywhere.storage).delete

    def die_after_the_first(storage, path=""):
        remove(storage, path)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(anywhere.storage), "delete", die_after_the_first)
        with pytest.raises(KeyboardInterrupt):
            delete(anywhere, 0, 0, 2)
    assert value(anywhere, 0) == 1.0
    remove_stale_parts(anywhere)
    assert anywhere.storage.list(anywhere.trial(0, 0)) == ["00000001"]


@pytest.mark.parametrize("dies_at", ["after the old one left", "before it is removed"])
def test_a_crash_while_a_step_is_replaced_keeps_one_of_the_two(layout, monkeypatch, dies_at):
    save(layout, 0, 5, value=1.0)
    renames = []
    rename, remove = type(layout.storage).rename, type(layout.storage).delete

    def dying_rename(storage, source, target):
        if dies_at == "after the old one left" and renames:
            raise KeyboardInterrupt
        renames.append(source)
        rename(storage, source, target)

    def dying_delete(storage, path=""):
        if renames:
            raise KeyboardInterrupt
        remove(storage, path)

    with monkeypatch.context() as patch:
        patch.setattr(type(layout.storage), "rename", dying_rename)
        patch.setattr(type(layout.storage), "delete", dying_delete)
        with pytest.raises(KeyboardInterrupt):
            save(layout, 0, 5, value=2.0)
    remove_stale_parts(layout)
    assert value(layout, 0) == (1.0 if dies_at == "after the old one left" else 2.0)
    assert layout.storage.list(layout.trial(0, 0)) == ["00000005"]


def test_retention_belongs_to_the_sweep(anywhere):
    for trial in range(5):
        for step in (1, 2):
            save(anywhere, trial, step)
    save(anywhere, 3, 2, repeat=1)
    save(anywhere, 3, 1, repeat=1)
    save(anywhere, 0, 3)
    deleted = delete_surplus(anywhere, unfinished=[0], ranking=[3, 1, 2, 4], keep_best=2)
    assert deleted == [(0, 0, 1), (1, 0, 1), (2, 0, 1), (2, 0, 2), (3, 0, 1), (3, 1, 1), (4, 0, 1), (4, 0, 2)]
    assert {trial: list_steps(anywhere, trial, 0) for trial in range(5)} == {0: [2, 3], 1: [2], 2: [], 3: [2], 4: []}
    assert list_steps(anywhere, 3, 1) == [2]
    assert delete_surplus(anywhere, [0], [3, 1, 2, 4], 2) == []


def test_a_damaged_newest_does_not_cost_the_one_before(layout):
    for step in (0, 1, 2, 3):
        save(layout, 0, step)
        if step:
            save(layout, 1, step)
    for trial in (0, 1):
        layout.storage.delete(f"{layout.checkpoint(trial, 0, 3)}/rank-0.pt")
    assert delete_surplus(layout, unfinished=[0], ranking=[], keep_best=0) == [
        (0, 0, 0),
        (1, 0, 1),
        (1, 0, 2),
        (1, 0, 3),
    ]
    assert value(layout, 0) == 2.0


numbers = st.integers(0, 6)
keys = st.sets(st.tuples(numbers, st.integers(0, 2), st.integers(0, 9)), max_size=40)


@given(keys, st.sets(numbers), st.permutations(range(7)), st.integers(0, 8))
def test_what_is_kept(present, unfinished, order, keep_best):
    ranking = [trial for trial in order if trial not in unfinished]
    deleted = select_deletable(present, unfinished, ranking, keep_best)
    kept = present - set(deleted)
    assert deleted == sorted(set(deleted))
    assert set(deleted) <= present
    wanted = unfinished | set(ranking[:keep_best])
    for (trial, repeat), group in groupby(sorted(present), key=lambda key: key[:2]):
        last = list(group)[-2 if trial in unfinished else -1 :]
        expected = set(last) if trial in wanted else set()
        assert {key for key in kept if key[:2] == (trial, repeat)} == expected
    assert select_deletable(kept, unfinished, ranking, keep_best) == []
    assert len({trial for trial, _, _ in kept if trial not in unfinished}) <= keep_best
