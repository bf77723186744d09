import errno
import os
import pickle
import threading

import pytest
from pyarrow import fs as pafs

from raybayes.errors import StoreError
from raybayes.store.filesystem import Storage, open_storage
from raybayes.store.probe import require_writable


def test_a_relative_folder_keeps_its_name_for_the_user(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    storage = open_storage("runs").child("sweep")
    assert storage.local
    assert storage.display == "runs/sweep"
    assert storage.root == str(tmp_path / "runs" / "sweep")
    assert storage.display_path("sweep.yaml") == "runs/sweep/sweep.yaml"
    assert storage.local_path("sweep.yaml") == tmp_path / "runs" / "sweep" / "sweep.yaml"


def test_home_and_file_uris_are_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert open_storage("~/runs").root == str(tmp_path / "runs")
    storage = open_storage(f"file://{tmp_path}/runs")
    assert (storage.local, storage.root) == (True, f"{tmp_path}/runs")


def test_a_uri_of_any_fsspec_protocol_opens():
    storage = open_storage("fsspec+memory:///bucket/x")
    assert not storage.local
    with pytest.raises(StoreError, match="needs a folder on a disk"):
        storage.local_path("study.journal")


@pytest.mark.parametrize("uri", ["ftp2://host/x", "://x"])
def test_an_unknown_scheme_names_the_known_ones(uri):
    with pytest.raises(StoreError, match=r"cannot be opened: .*file://, s3://"):
        open_storage(uri)


def test_an_empty_storage_is_refused():
    with pytest.raises(StoreError, match="storage is empty"):
        open_storage(" ")


def test_credentials_are_never_printed():
    storage = open_storage("s3://key:hush@bucket/runs?region=eu-west-1&allow_bucket_creation=false")
    assert storage.display == "s3://bucket/runs"
    assert storage.child("sweep").display == "s3://bucket/runs/sweep"


@pytest.mark.parametrize("name", ["", "..", "a/../b", "/etc"])
def test_a_child_stays_below(tmp_path, name):
    with pytest.raises(StoreError, match="is not a folder name below"):
        open_storage(str(tmp_path)).child(name)


def test_a_storage_travels_to_workers(tmp_path, bucket):
    for storage in (open_storage(str(tmp_path)), bucket):
        storage.write_bytes("a/b", b"12")
        there = pickle.loads(pickle.dumps(storage))
        assert there.read_bytes("a/b") == b"12"
        assert there.display == storage.display


def test_the_verbs_do_the_same_everywhere(anywhere):
    storage = anywhere.storage
    assert not storage.exists()
    assert storage.list() == []
    assert storage.sizes("nowhere") == {}
    storage.write_bytes("deep/er/file", b"one")
    storage.write_bytes("deep/er/file", b"second")
    storage.write_bytes("deep/other", b"")
    assert storage.read_bytes("deep/er/file") == b"second"
    assert storage.exists("deep/er")
    assert storage.list("deep") == ["er", "other"]
    assert storage.sizes("deep") == {"er/file": 6, "other": 0}
    storage.delete("deep/other")
    storage.delete("deep/other")
    assert storage.list("deep") == ["er"]
    storage.delete("deep")
    assert not storage.exists("deep/er/file")


def test_a_missing_file_is_one_sentence(anywhere):
    with pytest.raises(StoreError, match=r"sweep/nothing: cannot read this: no such file; check the path\.$"):
        anywhere.storage.read_bytes("nothing")


def test_a_block_that_fails_leaves_what_was_there(anywhere):
    storage = anywhere.storage
    storage.write_bytes("file", b"old")

    def fail_half_way():
        with storage.writing("file") as file:
            file.write(b"half of the ne")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_half_way()
    assert storage.read_bytes("file") == b"old"
    assert list(storage.sizes()) == ["file"]


def test_readers_never_see_a_part(layout):
    contents = [bytes([letter]) * 300_000 for letter in b"ab"]
    layout.storage.write_bytes("file", contents[0])
    done = threading.Event()

    def rewrite():
        for i in range(40):
            layout.storage.write_bytes("file", contents[i % 2])
        done.set()

    writer = threading.Thread(target=rewrite)
    writer.start()
    seen = []
    while not done.is_set():
        seen.append(layout.storage.read_bytes("file"))
    writer.join()
    assert set(seen) <= set(contents)


def test_a_full_disk_is_one_sentence_and_leaves_nothing(layout, monkeypatch):
    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(StoreError, match="cannot write this: No space left on device; free some space"):
        layout.storage.write_bytes("file", b"x")
    assert list(layout.storage.sizes()) == []


def test_a_writable_folder_stays_as_it_was(tmp_path, bucket):
    require_writable(open_storage(str(tmp_path / "not" / "yet")))
    assert list(tmp_path.iterdir()) == []
    require_writable(bucket)
    assert not bucket.exists()
    bucket.write_bytes("mine", b"1")
    require_writable(bucket)
    assert bucket.list() == ["mine"]


def test_a_file_in_the_way_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    storage = open_storage(str(tmp_path / "file" / "runs"))
    message = "file/runs: cannot write here: .*/file is a file; a part of this path is a file; choose another --storage"
    with pytest.raises(StoreError, match=message):
        require_writable(storage)
    with pytest.raises(StoreError, match="cannot write this: "):
        storage.write_bytes("x", b"")


def test_a_read_only_disk_is_named(tmp_path, monkeypatch):
    def read_only(*_):
        raise OSError(errno.EROFS, "Read-only file system")

    monkeypatch.setattr("builtins.open", read_only)
    with pytest.raises(StoreError, match="Read-only file system; choose a --storage on a disk that is mounted"):
        require_writable(open_storage(str(tmp_path)))


def test_an_object_store_that_refuses_is_named():
    class Refusing:
        type_name = "refusing"

        def get_file_info(self, _):
            raise OSError("AWS Error ACCESS_DENIED during HeadObject operation: no.")

    with pytest.raises(StoreError, match="s3://bucket/x: cannot access this: AWS Error ACCESS_DENIED"):
        require_writable(Storage(Refusing(), "bucket/x", local=False, display="s3://bucket/x"))


def test_a_storage_at_the_top_of_a_bucket_has_clean_paths():
    storage = Storage(pafs._MockFileSystem(), "", local=False, display="mock://")
    storage.write_bytes("a/b", b"1")
    assert storage.full_path("a/b") == "a/b"
    assert storage.sizes() == {"a/b": 1}
    assert open_storage("/").full_path("a") == "/a"
