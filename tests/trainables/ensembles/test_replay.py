"""A training that is taken from the cache gives the same numbers as one that is done."""

import logging

import pytest
import torch

from raybayes.errors import StoreError
from trainables.ensembles import Config, train
from trainables.ensembles.run.replay import members_folder
from trainables.ensembles.run.run import Run

SMALL = {"train_images": 120, "test_images": 40, "validation": 0.3, "epochs": 3, "members": 2, "batch": 32}
SWAG = {"epochs": 4, "rank": 2}
CASES = {
    "swag": {"method": "swag", "swag": SWAG},
    "multi-swag": {"method": "swag", "swag": SWAG | {"runs": 2}},
    "swa": {"method": "swa", "swag": SWAG},
    "mc_dropout": {"method": "mc_dropout"},
    "laplace": {"method": "laplace", "laplace": {"scale": 0.5}},
    "last_layer": {"method": "last_layer_laplace"},
}


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("RAYBAYES_CACHE", str(tmp_path))
    return members_folder()


@pytest.fixture
def trained(monkeypatch):
    """Epochs that were really trained."""
    done = []
    train_epoch = Run.train_epoch

    def counted(self, epoch):
        done.append((self.index, epoch))
        train_epoch(self, epoch)

    monkeypatch.setattr(Run, "train_epoch", counted)
    return done


def config(case, **values):
    return Config.model_validate(SMALL | CASES[case] | values)


def lps(tables):
    return {name: table["lp"].to_pylist() for name, table in tables.items() if name.startswith("predictions/")}


@pytest.mark.parametrize("case", CASES)
def test_the_numbers_are_those_of_a_run_without_the_cache(case, run_in_memory, cache, trained):
    plain = run_in_memory(train, config(case))
    before = len(trained)
    for _ in range(2):  # the first one stores, the second one reuses
        again = run_in_memory(train, config(case, reuse_pretrained=True))
        assert again.reports == plain.reports
        assert lps(again.tables) == lps(plain.tables)
        assert again.tables["curve"] == plain.tables["curve"]
    assert len(trained) == 2 * before
    assert len(list(cache.iterdir())) == plain.reports[-1]["cost_epochs"] / max(e + 1 for _, e in trained)


def test_what_comes_after_the_training_is_searched_without_it(run_in_memory, cache, trained):
    shared = {"reuse_pretrained": True, "training_seed": 7}
    first = run_in_memory(train, config("laplace", **shared), seed=1)
    done = len(trained)
    prior = run_in_memory(train, config("laplace", **shared, laplace={"scale": 0.5, "prior": 30.0}), seed=2)
    last = run_in_memory(train, config("last_layer", **shared), seed=3)  # the same network, another method
    assert len(trained) == done == 3
    assert first.reports[1] == prior.reports[1] == last.reports[1]  # before the first member
    assert first.reports[-1]["cll"] != prior.reports[-1]["cll"] != last.reports[-1]["cll"]
    whole = run_in_memory(train, config("laplace", training_seed=7, laplace={"scale": 0.5, "prior": 30.0}), seed=2)
    assert whole.reports == prior.reports
    assert lps(whole.tables) == lps(prior.tables)
    for scale in (0.1, 1.0):
        run_in_memory(train, config("swag", **shared, swag=SWAG | {"scale": scale}), seed=int(10 * scale))
    assert len(trained) == done + 3 + 4


OTHERS = [{"lr": 0.02}, {"wd": 1e-3}, {"epochs": 4}, {"augment": False}, {"train_images": 100}, {"training_seed": 8}]


@pytest.mark.parametrize("values", OTHERS)
def test_another_training_is_not_mistaken_for_it(values, run_in_memory, cache, trained):
    shared = {"reuse_pretrained": True, "training_seed": 7}
    run_in_memory(train, config("laplace", **shared))
    done = len(trained)
    run_in_memory(train, config("laplace", **(shared | values)))
    assert len(trained) > done


@pytest.mark.parametrize("gone", [False, True])
@pytest.mark.parametrize("cut", [1, 2, 4, 5])
def test_a_resumed_run_equals_an_uninterrupted_one(cut, gone, run_in_memory, cache):
    wanted = config("swag", reuse_pretrained=True)
    plain = run_in_memory(train, wanted)
    stopped = run_in_memory(train, wanted, stop_at=cut)  # reuses the training
    if gone:
        for file in cache.iterdir():
            file.unlink()
    resumed = run_in_memory(train, wanted, saved=stopped.saved)
    assert stopped.reports + resumed.reports == plain.reports
    assert lps(stopped.tables | resumed.tables) == lps(plain.tables)
    assert len(list(cache.iterdir())) == (1 if not gone or cut < 4 else 0)


def test_a_truncated_file_is_trained_again(run_in_memory, cache, caplog):
    wanted = config("laplace", reuse_pretrained=True)
    plain = run_in_memory(train, wanted)
    (file,) = cache.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) // 2])
    with caplog.at_level(logging.WARNING):
        assert run_in_memory(train, wanted).reports == plain.reports
    assert "cannot be read, so its training is repeated" in caplog.text
    assert torch.load(file, weights_only=True)["model"].keys()


def test_a_cache_that_cannot_be_written_says_so(run_in_memory, tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("RAYBAYES_CACHE", str(tmp_path / "file"))
    with pytest.raises(StoreError, match=r"cannot store a trained network: .*; set RAYBAYES_CACHE to another folder"):
        run_in_memory(train, config("laplace", reuse_pretrained=True))
    with pytest.raises(ValueError, match="reuse_pretrained = true works for methods that draw members"):
        Config(method="snapshot", reuse_pretrained=True)


def test_the_cache_lies_with_the_others(monkeypatch):
    monkeypatch.delenv("RAYBAYES_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/somewhere")
    assert str(members_folder()) == "/somewhere/raybayes/members"
