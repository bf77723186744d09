"""Fetches a full data set from its public source: downloads under a temporary name, verifies, then renames."""

from __future__ import annotations

import hashlib
import http.client
import os
import shutil
import tempfile
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from raybayes.data.checking import Check, check, require_known
from raybayes.data.places import cache_folder, found_in
from raybayes.data.records import DataSet, Download, Source
from raybayes.data.registry.catalogue import describe
from raybayes.errors import DataError

Progress = Callable[[str, int, int | None], None]
"""Called with the file's name, the bytes received so far, and the total (None if unknown)."""

_CHUNK_BYTES = 1 << 18
_TIMEOUT_S = 60.0


def fetch(name: str, data_dir: str | None = None, progress: Progress | None = None) -> Check:
    """Download a data set into `data_dir` (created if missing; default: the user's cache), and check it.

    Existing files are checked and not changed. A failed fetch leaves nothing behind.

    Raises:
        DataError: unknown name; no public address; no mirror answers; a checksum or the content is wrong; an existing
            file is not as published; the folder cannot be written.
    """
    dataset = describe(name)
    if dataset.embedded:
        return check(name)
    root = cache_folder() if data_dir is None else Path(data_dir).expanduser().absolute()
    fetch_into(dataset, root, progress)
    result = check(name, str(root))
    if data_dir is None:
        result = replace(result, origin=replace(result.origin, place="cache"))
    if not result.ok:
        raise DataError(f"{' '.join(result.problems)} Move {result.origin.folder} away and fetch {name!r} again.")
    return result


def fetch_into(dataset: DataSet, root: Path, progress: Progress | None = None) -> None:
    """Download the data set's files into `root`, unless all of them exist."""
    if any(len(found_in(folder, dataset)) == len(dataset.files) for folder in (root / dataset.folder, root)):
        return
    if dataset.source is None:
        raise DataError(
            f"{dataset.name!r} has no public address; it comes from {dataset.obtain}; put "
            f"{' and '.join(file.path for file in dataset.files)} into {root / dataset.folder}"
            + (f", or use the embedded sample {dataset.sample!r}." if dataset.sample else ".")
        )
    try:
        root.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".fetch-{dataset.name}-", dir=root))  # same disk: a rename is atomic
    except OSError as error:
        raise DataError(f"{root} cannot be written ({error.strerror}); choose another folder with --data.") from error
    try:
        _fetch(dataset, dataset.source, work, root / dataset.folder, progress)
    except OSError as error:
        reason = error.strerror or error
        raise DataError(
            f"{root}: writing {dataset.name!r} failed ({reason}); nothing was kept; fetch it again."
        ) from error
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _fetch(dataset: DataSet, source: Source, work: Path, target: Path, progress: Progress | None) -> None:
    downloads, built = work / "downloads", work / "built"
    for download in source.downloads:
        _download(dataset, download, downloads / download.path, target, progress)
    if source.build is None:
        built = downloads
    else:
        built.mkdir()
        source.build(downloads, built)
    files = found_in(built, dataset)
    require_known(dataset, dataset.read(dataset, files))
    for path in files.values():
        final = target / path.relative_to(built)
        final.parent.mkdir(parents=True, exist_ok=True)
        os.replace(path, final)


def _download(dataset: DataSet, download: Download, path: Path, target: Path, progress: Progress | None) -> None:
    """Download one file from the first mirror that has it as published."""
    path.parent.mkdir(parents=True, exist_ok=True)
    failures = []
    for url in download.urls:
        problem: str | None
        try:
            problem = _receive(url, path, download, progress)
        except urllib.error.HTTPError as error:
            problem = f"the server answers {error.code} {error.reason}"
        except urllib.error.URLError as error:
            problem = str(error.reason)
        except (http.client.HTTPException, TimeoutError, ConnectionError) as error:
            problem = str(error) or type(error).__name__
        if problem is None:
            return
        failures.append(f"{url} ({problem})")
    raise DataError(
        f"{download.path} of {dataset.name!r} could not be downloaded from {' or '.join(failures)}; run "
        f"`raybayes data fetch {dataset.name}` on a machine with internet access, and copy the result to {target}"
        + (f", or use the embedded sample {dataset.sample!r}." if dataset.sample else ".")
    )


def _receive(url: str, path: Path, download: Download, progress: Progress | None) -> str | None:
    """Write what a mirror sends; returns what is wrong with it, or None."""
    kind, _, wanted = download.checksum.partition(":")
    digest = hashlib.new(kind or "sha256", usedforsecurity=False)
    received = 0
    with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer, path.open("wb") as file:
        length = answer.headers.get("Content-Length")
        total = int(length) if length else None
        while chunk := answer.read(_CHUNK_BYTES):
            file.write(chunk)
            digest.update(chunk)
            received += len(chunk)
            if progress is not None:
                progress(download.path, received, total)
    if total is not None and received != total:
        return f"the connection ended after {received:,} of {total:,} bytes"
    if wanted and digest.hexdigest() != wanted:
        return f"{kind} is {digest.hexdigest()}, wanted {wanted}"
    return None
