"""Data sets in the folders that torchvision knows: CIFAR-100, the exact CIFAR-10, ImageNet."""

import hashlib
import io
import pickle
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets, transforms

from raybayes import data
from raybayes.data.registry.catalogue import DATA_SETS
from raybayes.errors import DataError
from trainables.ensembles import Config, train
from trainables.ensembles.data.augmentation import augmentation
from trainables.ensembles.data.pictures import middle, pictures, random_cut

TINY = {"epochs": 1, "members": 2, "batch": 8, "validation": 0.3, "arch": "cnn"}
CLASSES = ("ant", "bee", "cat")


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """A folder of 3 classes of pictures of several sizes, 5 of each to train on and 4 to test."""
    rng = np.random.default_rng(0)
    for split, count in (("train", 5), ("val", 4)):
        for name in CLASSES:
            (tmp_path / "imagenet" / split / name).mkdir(parents=True)
            for i in range(count):
                pixels = rng.integers(0, 256, (30 + 7 * i, 50, 3), np.uint8)
                Image.fromarray(pixels).save(tmp_path / "imagenet" / split / name / f"{i}.png")
    (tmp_path / "imagenet" / "train" / "ant" / "notes.txt").write_text("no picture")
    monkeypatch.setenv("RAYBAYES_DATA", str(tmp_path))
    return tmp_path / "imagenet"


def test_the_rows_are_those_of_torchvision(folders):
    tables = data.load("imagenet")
    theirs = datasets.ImageFolder(folders / "train")
    ours = [(str(folders / "train" / row["path"]), row["label"]) for row in tables["train"].to_pylist()]
    assert ours == theirs.samples
    assert tables["test"].schema.metadata[b"classes"] == b"ant,bee,cat"
    assert {split: len(table) for split, table in tables.items()} == {"train": 15, "test": 12}
    assert "split 'train' of 'imagenet' has 15 rows, wanted 1,281,167." in data.check("imagenet").problems


def test_without_augmentation_the_middle_is_seen(folders):
    rows, columns = np.mgrid[:60, :50].astype(np.uint8)
    Image.fromarray(np.stack([4 * rows, 5 * columns, 2 * rows + columns], axis=2)).save(folders / "val/bee/3.png")
    seen, labels = pictures(data.load("imagenet")["test"], 224)
    assert seen.shape == (12, 3, 224, 224)
    assert labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    theirs = transforms.Compose([transforms.Resize(256), transforms.CenterCrop(224)])
    with Image.open(folders / "val" / "bee" / "3.png") as file:
        wanted = np.asarray(theirs(file)).transpose(2, 0, 1).astype(int)
    gap = np.abs(seen[7:8].decode()[0].numpy() - wanted)
    assert gap.max() <= 2  # of 255: the same square, resized in one step instead of two
    assert middle(500, 375) == pytest.approx((85.9375, 23.4375, 414.0625, 351.5625))


def test_augmented_pictures_are_drawn_once_and_cut_anew(folders):
    whole, _ = pictures(data.load("imagenet")["train"], 32)
    augment = augmentation("resized-crop")
    first = augment(whole, torch.Generator().manual_seed(1))
    assert torch.equal(first.decode(), augment(whole, torch.Generator().manual_seed(1)).decode())
    assert not torch.equal(first.decode(), augment(whole, torch.Generator().manual_seed(2)).decode())
    assert torch.equal(first[torch.tensor([4, 2])].decode(), first.decode()[[4, 2]])
    assert torch.equal(torch.cat([part.decode() for part in first.split(4)]), first.decode())
    with pytest.raises(TypeError, match="resized-crop needs pictures in files"):
        augment(first.decode(), torch.Generator())


def test_random_cuts_have_the_shares_of_torchvision():
    draws = torch.rand(4000, 10, 4, generator=torch.Generator().manual_seed(0))
    ours = np.array([random_cut(500, 375, one) for one in draws])
    assert (ours[:, :2] >= 0).all()
    assert (ours[:, 2] <= 500).all()
    assert (ours[:, 3] <= 375).all()
    image, theirs = torch.empty(3, 375, 500), []
    with torch.random.fork_rng():
        torch.manual_seed(0)
        for _ in range(4000):
            top, left, height, width = transforms.RandomResizedCrop.get_params(image, (0.08, 1.0), (3 / 4, 4 / 3))
            theirs.append((left, top, left + width, top + height))
    for one, other in zip(ours.T, np.array(theirs).T, strict=True):
        assert one.mean() == pytest.approx(other.mean(), abs=8)
    assert random_cut(1000, 10, draws[0]) == (493, 0, 506, 10)  # nothing fits: the middle, as wide as allowed


def test_an_ensemble_learns_from_pictures_in_files(folders, run_in_memory):
    config = Config.model_validate(TINY | {"dataset": "imagenet", "tta": True})
    found = run_in_memory(train, config)
    assert {name.split("/")[0] for name in found.tables} == {"curve", "predictions"}
    table = found.tables["predictions/test-member-001"]
    assert table["lp"].type.list_size == 3
    assert found.reports[-1]["test_error"] <= 1
    (folders / "val" / "cat" / "0.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"cat/0\.png cannot be read as a picture .*; replace it, or remove it"):
        run_in_memory(train, config)


def test_folders_that_do_not_fit_are_refused(folders):
    (folders / "val" / "dog").mkdir()
    with pytest.raises(DataError, match=r"val has 4 classes and the first split 3; 'dog' is in only one of them"):
        data.load("imagenet")
    for name in (*CLASSES, "dog"):
        (folders / "val" / name).rename(folders / name)
    with pytest.raises(DataError, match=r"val has no folders; it needs one folder per class"):
        data.load("imagenet")
    for name in CLASSES:
        (folders / "val" / name).mkdir()
    with pytest.raises(DataError, match=r"val: its class folders have no pictures"):
        data.load("imagenet")


@pytest.mark.parametrize(("name", "classes"), [("cifar100", 100), ("cifar10-original", 10)])
def test_the_batches_of_cifar_train_an_ensemble(name, classes, tmp_path, monkeypatch, run_in_memory):
    published = data.describe(name)
    rng, files = np.random.default_rng(0), []
    for file in published.files:
        n = 20
        content = {"data": rng.integers(0, 256, (n, 3072), np.uint8), "labels": [i % 10 for i in range(n)]}
        content["fine_labels"] = [(7 * i) % classes for i in range(n)]
        buffer = io.BytesIO()
        pickle.dump(content, buffer, protocol=2)
        path = tmp_path / published.folder / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(buffer.getvalue())
        files.append(replace(file, md5=hashlib.md5(buffer.getvalue()).hexdigest()))
    monkeypatch.setitem(DATA_SETS, name, replace(published, files=tuple(files)))
    monkeypatch.setenv("RAYBAYES_DATA", str(tmp_path))
    found = run_in_memory(train, Config.model_validate(TINY | {"dataset": name}))
    table = found.tables["predictions/test-member-000"]
    assert table["lp"].type.list_size == classes
    wanted = {(7 * i) % 100 for i in range(20)} if classes == 100 else range(10)
    assert set(table["target"].to_pylist()) == set(wanted)


def test_the_declared_batches_are_those_of_torchvision():
    published = data.describe("cifar100")
    known = [*datasets.CIFAR100.train_list, *datasets.CIFAR100.test_list]
    assert [[file.path.split("/")[1], file.md5] for file in published.files] == known
    (archive,) = published.source.downloads
    assert archive.checksum == f"md5:{datasets.CIFAR100.tgz_md5}"
    assert archive.urls == (datasets.CIFAR100.url,)
    assert len(published.classes) == len(set(published.classes)) == 100
    assert list(published.classes) == sorted(published.classes)
