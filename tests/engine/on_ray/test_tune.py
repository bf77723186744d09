"""Slots on Ray whose processes train many trials: the same reports as a process for each, whatever happens between."""

from collections import defaultdict
from operator import itemgetter

import pytest

import raybayes as rb

pytestmark = [pytest.mark.ray, pytest.mark.usefixtures("ray_cluster")]


def processes(log):
    """The processes of rank 0 that computed each trial, by learning rate, in order."""
    found = defaultdict(list)
    for line in log.read_text().splitlines():
        _, pid, rank, rate = line.split()
        if rank == "0" and pid not in found[rate]:
            found[rate].append(pid)
    return list(found.values())


def curves(sweep, trials):
    rows = sweep.reports.select(["trial", "step", "loss", "final"]).to_pylist()
    return [row for row in rows if row["trial"] < trials]


@pytest.mark.parametrize("workers", [1, pytest.param(2, marks=pytest.mark.slow)])
def test_reports_are_bit_equal_to_those_of_isolated_trials(tmp_path, workers):
    wanted = {"workers": workers, "concurrency": 1, "sampler": "random", "seed": 3, "storage": str(tmp_path)}
    config = {"noise": 0.3, "steps": 3, "log": str(tmp_path / "warm.log")}
    if workers == 1:
        config |= {"die_at": 2, "marker": str(tmp_path / "died")}
    warm = rb.sweep("parabola", trials=4, config=config, checkpoint_every=0.0, name="warm", **wanted)
    assert warm.trials["state"].to_pylist() == ["COMPLETE"] * 4
    first, *others = processes(tmp_path / "warm.log")
    assert others == [first[-1:]] * 3, "the process that trained the first trial to its end trained all that followed"
    assert len(first) == (2 if workers == 1 else 1)

    config = {"noise": 0.3, "steps": 3, "log": str(tmp_path / "apart.log")}
    apart = rb.sweep("parabola", trials=2, config=config, isolate=True, name="apart", **wanted)
    assert len({pid for (pid,) in processes(tmp_path / "apart.log")}) == 2
    assert curves(apart, 2) == curves(warm, 2)


def test_a_lost_process_costs_none_of_the_trials_that_it_trained_together(tmp_path):
    config = {"noise": 0.5, "steps": 4, "method": "plain"}
    death = {"die_at": 3, "only_above": 0.3, "marker": str(tmp_path / "died")}
    wanted = {"trials": 8, "sampler": "random", "storage": str(tmp_path), "seed": 1}
    found = rb.sweep("parabola", config={**config, **death}, fuse="auto", name="s", **wanted)
    apart = rb.sweep("parabola", config=config, executor="local", name="apart", **wanted)
    assert (tmp_path / "died").exists()
    place = itemgetter("trial", "step")
    assert sorted(curves(found, 8), key=place) == sorted(curves(apart, 8), key=place)
    assert found.trials["state"].to_pylist() == ["COMPLETE"] * 8
    profile = found.profile().to_pylist()
    assert sorted(row["trial"] for row in profile) == list(range(8))
    assert min(row["training"] for row in profile) >= 0
