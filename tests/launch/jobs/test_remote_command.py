from pathlib import Path

import pytest

from raybayes.errors import SpecError
from raybayes.launch.jobs.remote_command import remote_arguments, sweep_name_of

HERE = Path("/home/me/work")


def made(text, storage=None):
    return remote_arguments(text.split(), HERE, storage, "fixed")


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("sweep flows --trials 5", "sweep flows --trials 5 --storage /home/me/work/runs --name fixed"),
        ("raybayes train flows --name a", "train flows --name a --storage /home/me/work/runs"),
        ("sweep flows --storage=out --name=a", "sweep flows --storage=/home/me/work/out --name=a"),
        ("train a --storage s3://b/x --data d", "train a --storage s3://b/x --data /home/me/work/d --name fixed"),
        ("resume runs/a", "resume /home/me/work/runs/a"),
        ("extend /x/a --trials 3", "extend /x/a --trials 3"),
    ],
)  # fmt: skip
def test_a_job_that_comes_back_finds_the_same_sweep(given, wanted):
    assert made(given) == wanted.split()
    assert made(wanted) == wanted.split()


def test_the_cluster_may_say_where_results_go():
    assert made("sweep flows", "/nfs/runs")[2:] == ["--storage", "/nfs/runs", "--name", "fixed"]


def test_a_spec_file_may_name_the_sweep(tmp_path):
    (tmp_path / "s.yaml").write_text("project: flows\nname: mine\nstorage: /nfs\n")
    words = ["sweep", "--spec", "s.yaml"]
    assert remote_arguments(words, tmp_path, None, "fixed") == words


def test_what_makes_no_sense_on_a_cluster():
    for text in ("", "show runs/a"):
        with pytest.raises(SpecError, match="write one of sweep, train, resume"):
            made(text)
    with pytest.raises(SpecError, match="--local runs without Ray"):
        made("sweep flows --local")


def test_names():
    assert sweep_name_of(["sweep", "flows", "--name", "a"]) == "a"
    assert sweep_name_of(["resume", "/x/b"]) == "b"
