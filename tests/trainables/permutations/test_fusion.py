"""Trials trained together report and store what each would alone, to rounding."""

import contextlib
import copy
import logging
import zlib

import pytest
import torch

from raybayes import data
from raybayes.contract import Action, Stop
from trainables.permutations import PROJECT, Config, train

FUSION = PROJECT.fusion
REPORTS = 4
QUICK = {"runs": 2, "reports": REPORTS, "evaluations": 64, "eval_samples": 16}


class Alone:
    """One worker of one trial, from a checkpoint and up to a report."""

    rank, world_size, device, log = 0, 1, torch.device("cpu"), logging.getLogger("raybayes.test")

    def __init__(self, seed, saved=None, stop=None):
        self.seed, self.saved, self.stop = seed, saved, stop
        self.reports, self.states, self.tables = [], [], {}

    def rng(self, name):
        return torch.Generator().manual_seed(zlib.crc32(f"{self.seed}/{name}".encode()))

    def data(self, name):
        return data.load(name)

    def gather(self, value):
        return [value]

    def all_reduce(self, tensor):
        return tensor

    def resume(self):
        return copy.deepcopy(self.saved)

    def report(self, metrics, state=None):
        self.reports.append(dict(metrics))
        self.states.append(copy.deepcopy(state()))
        if self.states[-1]["reported"] == self.stop:
            raise Stop(Action.PRUNE)

    def save_table(self, name, table):
        self.tables[name] = table.to_pylist()


def configs(values, count=3):
    """The same task for trials that differ in all that may differ."""
    made = []
    for i in range(count):
        own = {**QUICK, "lr": 0.02 * (i + 1), "momentum": 0.9 - 0.2 * i, "init_scale": 0.5 * i, "eval_samples": 16 + i}
        critic = {"lr": 0.01 * (i + 1), "tau": 1.0 + i, "eta": 1.0 - 0.25 * i}
        merged = {**own, **values, "critic": {**critic, **values.get("critic", {})}, "controls": i == 0}
        if "entropy" in values:
            merged["entropy"] = values["entropy"] * (i + 1)
        made.append(Config(**merged))
    return made


def alone(config, context):
    with contextlib.suppress(Stop):
        train(config, context)
    return context


def same(found, wanted):
    """Nested equality, floats to 1e-9."""
    if isinstance(wanted, dict):
        assert found.keys() == wanted.keys()
        for name in wanted:
            same(found[name], wanted[name])
    elif isinstance(wanted, list):
        assert len(found) == len(wanted)
        for mine, theirs in zip(found, wanted, strict=True):
            same(mine, theirs)
    elif isinstance(wanted, torch.Tensor):
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-11)
    elif isinstance(wanted, float):
        assert found == pytest.approx(wanted, rel=1e-9, abs=1e-10)
    else:
        assert found == wanted


def agree(fused, apart):
    """Reports, tables and checkpoints, from the first report that both made."""
    for mine, theirs in zip(fused, apart, strict=True):
        same(mine.reports, theirs.reports)
        same(mine.tables, theirs.tables)
        same(mine.states, theirs.states)


KINDS = [
    {"estimator": "exact", "toy": {"n": 4}},
    {"estimator": "reinforce_best"},
    {"estimator": "rloo", "samples": 4, "scale_by_std": True, "lr_decay": "cosine"},
    {"estimator": "rloo", "samples": 4, "entropy": 0.1, "restarts": 2},
    {"estimator": "e_reinforce_ema"},
    {"estimator": "t_reinforce_plus", "samples": 2, "model": "matching", "toy": {"n": 4}},
    {"estimator": "rebar"},
    {"estimator": "rebar", "critic": {"learn_tau": False, "learn_eta": False}},
    {"estimator": "relax"},
    {"estimator": "relax_centred", "samples": 2, "critic": {"centring": "ema", "updates": 2, "warmup": 3, "depth": 2}},
    {"estimator": "relax", "model": "matching", "critic": {"of": "black_box"}, "toy": {"n": 4}},
    {"estimator": "relaxation"},
    {"estimator": "straight_through", "relaxation": {"sort": "softsort"}},
    {"estimator": "sinkhorn", "toy": {"n": 4}},
    {"estimator": "gaussian", "samples": 4},
    {"task": "tsp", "tsp": {"instance": "burma14"}, "estimator": "rebar"},
    {"task": "causal", "causal": {"d": 5}, "estimator": "reinforce_ema"},
    {"task": "causal", "causal": {"d": 5, "score": "bic"}, "estimator": "rloo", "samples": 4, "restarts": 2},
    {"task": "causal", "causal": {"graph": "sachs", "score": "bic"}, "estimator": "relax"},
]


@pytest.mark.parametrize("values", KINDS, ids=lambda values: "-".join(str(value) for value in values.values()))
def test_trials_together_are_what_they_are_alone(values):
    chosen = configs(values)
    assert len({FUSION.alike(config) for config in chosen}) == 1
    fused = [Alone(seed, stop=2 if seed == 1 else None) for seed in range(3)]
    FUSION.train(chosen, fused)
    apart = [alone(config, Alone(one.seed, stop=one.stop)) for config, one in zip(chosen, fused, strict=True)]
    agree(fused, apart)
    assert [len(one.reports) for one in fused] == [REPORTS, 2, REPORTS]
    assert fused[0].reports[-1]["cost"] != fused[2].reports[-1]["cost"] or values.get("estimator") == "exact"
    assert set(fused[0].tables) >= {"scores", "curves", "orders"}
    assert not fused[1].tables


@pytest.mark.parametrize(
    "values",
    [
        {"estimator": "relax", "critic": {"warmup": 2}},
        {"estimator": "rloo", "samples": 4, "entropy": 0.1},
        {"estimator": "exact", "toy": {"n": 4}},
        {"task": "causal", "causal": {"d": 5}, "estimator": "reinforce_ema"},
    ],
    ids=lambda values: values["estimator"],
)
def test_checkpoints_go_on_together_and_alone(values):
    chosen = configs(values)
    whole = [alone(config, Alone(seed)) for seed, config in enumerate(chosen)]
    first = [Alone(seed) for seed in range(3)]
    FUSION.train(chosen, first)
    # made alone at report 2, made together at report 3, and none
    saved = [whole[0].states[1], first[1].states[2], None]
    fused = [Alone(seed, state) for seed, state in enumerate(saved)]
    FUSION.train(chosen, fused)
    for mine, theirs, past in zip(fused, whole, (2, 3, 0), strict=True):
        same(mine.reports, theirs.reports[past:])
        same(mine.states, theirs.states[past:])
        same(mine.tables, theirs.tables)
    later = alone(chosen[1], Alone(1, first[1].states[1]))  # made together, gone on alone
    same(later.reports, whole[1].reports[2:])
    same(later.tables, whole[1].tables)


def test_a_checkpoint_holds_the_rows_of_its_own_trial_only():
    chosen = configs({"estimator": "relax"})
    fused = [Alone(seed) for seed in range(3)]
    FUSION.train(chosen, fused)
    (theta,) = fused[0].states[0]["optimiser"]["policy"]
    assert theta.untyped_storage().nbytes() == theta.numel() * theta.element_size()


@pytest.mark.parametrize(
    "values", [{"samples": 2}, {"runs": 3}, {"reports": 5}, {"toy": {"n": 7}}, {"estimator": "rebar"},
               {"precision": "float32"}, {"critic": {"width": 16}}, {"critic": {"learn_tau": False}}]
)  # fmt: skip
def test_what_changes_the_computation_is_not_alike(values):
    assert FUSION.alike(Config(**values)) != FUSION.alike(Config())


def test_some_are_trained_alone():
    ranking = Config(task="ranking", estimator="rloo", samples=8)
    joint = Config(task="causal", causal={"score": "joint"})
    assert FUSION.alike(ranking) is None
    assert FUSION.alike(joint) is None
    assert FUSION.alike(Config(estimator="rloo", samples=4, entropy=0.1)) != FUSION.alike(
        Config(estimator="rloo", samples=4)
    )


def test_the_number_of_trials_falls_with_the_memory_of_one():
    assert FUSION.most(Config()) == 256
    # 16 copies of 2 (z and z~) · 64 samples · 100² numbers of 8 bytes for 8 rows: 1.3 GB, above the limit
    assert FUSION.most(Config(samples=64, toy={"n": 100})) == 1
    # 16 · 8! numbers of 8 bytes a row: 5.2 MB, so 26 trials of 8 rows in 1 GiB
    assert FUSION.most(Config(estimator="exact")) == 26
    assert FUSION.most(Config(estimator="rloo", samples=2048)) < 256
    large = {"task": "tsp", "estimator": "rebar", "samples": 8}
    assert FUSION.most(Config(**large, tsp={"instance": "bayg29"})) > FUSION.most(
        Config(**large, tsp={"instance": "eil101"})
    )
