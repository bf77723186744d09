"""A sweep's folder on each kind of storage."""

import fsspec
import pytest
from pyarrow import fs as pafs

from raybayes.store.filesystem import Storage, open_storage
from raybayes.store.layout import Layout


@pytest.fixture
def layout(tmp_path):
    return Layout(open_storage(str(tmp_path / "runs")).child("sweep"))


@pytest.fixture
def bucket():
    """An object store: no rename, no append, folders come by themselves."""
    memory = fsspec.filesystem("memory")
    yield Storage(
        pafs.PyFileSystem(pafs.FSSpecHandler(memory)), "/bucket/runs", local=False, display="s3://bucket/runs"
    )
    if memory.exists("/bucket"):
        memory.rm("/bucket", recursive=True)


@pytest.fixture(params=["disk", "object store", "strict store"])
def anywhere(request, tmp_path, bucket):
    """The same sweep on a disk, on an object store, and on one whose folders must exist before they are written to."""
    strict = Storage(pafs._MockFileSystem(), "runs", local=False, display="mock://runs")
    return {
        "disk": Layout(open_storage(str(tmp_path / "runs")).child("sweep")),
        "object store": Layout(bucket.child("sweep")),
        "strict store": Layout(strict.child("sweep")),
    }[request.param]
