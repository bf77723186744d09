"""A folder that somebody else wrote: it runs no code, changes nothing outside of itself, and says whose it is."""

import os
import pwd
import shutil

import pytest
import yaml

import raybayes as rb
from raybayes.cli.main import main
from raybayes.errors import SpecError, StoreError
from raybayes.store.filesystem import open_storage

EVIL = "open({marker!r}, 'w').close()\nfrom optuna.samplers import RandomSampler\nclass Mine(RandomSampler): pass\n"


@pytest.fixture
def sweep(tmp_path):
    path = rb.sweep("parabola", trials=2, storage=str(tmp_path), name="s", executor="local").path
    return tmp_path / "s" if path else None


@pytest.fixture
def evil(tmp_path, monkeypatch):
    """A module that leaves a mark when it is imported; returns the mark."""
    (tmp_path / "evil_sampler.py").write_text(EVIL.format(marker=str(tmp_path / "mark")))
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path / "mark"


def rewrite(sweep, **changes):
    spec = yaml.safe_load((sweep / "sweep.yaml").read_text())
    (sweep / "sweep.yaml").write_text(yaml.safe_dump({**spec, **changes}))


def give_away(path):
    """Make a folder another user's; as root, since only root can."""
    if os.getuid() != 0:
        pytest.skip("only root can give a folder away")
    for file in (path, *path.rglob("*")):
        os.chown(file, pwd.getpwnam("nobody").pw_uid, -1)


def test_a_sampler_that_only_the_folder_names_is_not_imported(sweep, evil):
    rewrite(sweep, sampler={"name": "evil_sampler.Mine", "options": {}})
    for command in (["show"], ["report"], ["check"], ["resume", "--local"], ["extend", "--trials", "1", "--local"]):
        main([command[0], str(sweep), *command[1:]])
        assert not evil.exists(), command
    with pytest.raises(
        SpecError, match=r"names evil_sampler.Mine, which would be imported.*--allow-import evil_sampler"
    ):
        rb.resume(sweep, executor="local")
    rb.extend(sweep, 1, executor="local", allow_import="evil_sampler")
    assert evil.exists()


def test_optunas_own_samplers_need_no_word(sweep):
    rewrite(sweep, sampler={"name": "optuna.samplers.RandomSampler", "options": {}})
    assert len(rb.extend(sweep, 1, executor="local").trials) == 3


@pytest.mark.usefixtures("evil")
def test_a_sampler_of_the_callers_own_command_is_imported(tmp_path):
    arguments = ["sweep", "parabola", "--trials", "1", "--sampler", "evil_sampler.Mine", "--local"]
    main([*arguments, "--storage", str(tmp_path), "--name", "mine"])
    assert (tmp_path / "mine" / "trials.parquet").exists()
    assert main([*arguments, "--storage", str(tmp_path), "--name", "mine"]) == 0, "the same command names it again"


def test_a_training_that_another_users_folder_names_is_not_run(tmp_path):
    script, mark = tmp_path / "train.py", tmp_path / "mark"
    script.write_text("def train(config):\n    return config['x']\n")
    options = {"space": {"x": rb.Float(0, 1)}, "objective": {"loss": "minimize"}, "executor": "local", "seed": 0}
    path = rb.sweep(f"{script}:train", trials=1, storage=str(tmp_path), name="own", **options).path
    script.write_text(f"open({str(mark)!r}, 'w').close()\ndef train(config):\n    return config['x']\n")
    give_away(tmp_path / "own")
    with pytest.raises(SpecError, match=r"belongs to nobody, and its sweep.yaml names code to run: .*train.py:train"):
        rb.extend(path, 1, executor="local")
    assert not mark.exists()
    assert len(rb.extend(path, 1, executor="local", allow_import="train.py", code_changed=True).trials) == 2


def test_whose_folder_it_is_is_shown(sweep, capsys):
    main(["show", str(sweep)])
    assert "the folder of" not in capsys.readouterr().out
    give_away(sweep)
    main(["show", str(sweep)])
    assert f"{sweep} (the folder of nobody)" in capsys.readouterr().out


@pytest.mark.parametrize(
    "name", ["study.journal", "reports", "attempts", "bursts", "figures", "tensorboard", "checkpoints"]
)
def test_links_are_not_followed_for_writing(sweep, tmp_path, name):
    """What lies outside stays as it is, whatever resume, extend and report do with the folder."""
    outside = tmp_path / "outside"
    inside = sweep / name
    if inside.exists():
        shutil.move(inside, outside)
    else:
        outside.mkdir()
    inside.symlink_to(outside)
    if outside.is_file():
        with outside.open("ab") as file:
            file.write(b"a torn line that a burst would cut")

    def content():
        files = [outside] if outside.is_file() else sorted(outside.rglob("*"))
        return {file: file.read_bytes() if file.is_file() else None for file in files}

    before = content()
    main(["extend", str(sweep), "--trials", "1", "--local", "--checkpoint-every", "0"])
    main(["report", str(sweep)])
    main(["check", str(sweep), "--repair"])
    assert content() == before


def test_the_refusal_names_the_link(tmp_path):
    (tmp_path / "s").mkdir()
    (tmp_path / "there").mkdir()
    (tmp_path / "s" / "figures").symlink_to(tmp_path / "there")
    storage = open_storage(str(tmp_path / "s"))
    with pytest.raises(StoreError, match="figures is a link, and nothing is written or deleted through a link"):
        storage.write_bytes("figures/a.png", b"")
    with pytest.raises(StoreError, match="is a link"):
        storage.delete("figures/a.png")
    storage.write_bytes("sweep.yaml", b"")
    linked = open_storage(str(tmp_path / "s2"))
    (tmp_path / "s2").symlink_to(tmp_path / "s")
    linked.write_bytes("notes.txt", b"the folder itself may be a link")
