"""Trials that are trained together equal trials that are trained alone, to rounding."""

import json

import numpy as np
import pytest

from trainables.ensembles import PROJECT, Config, train
from trainables.ensembles.run.plan import plan
from trainables.ensembles.training import train_fused

SMALL = {"train_images": 120, "test_images": 40, "validation": 0.3, "epochs": 3, "batch": 32, "method": "single"}
SWEEP = (  # one stack: every trial has its own rates, seed, length and number of networks
    {"lr": 0.05},
    {"lr": 0.2, "wd": 0.0, "momentum": 0.0, "epochs": 2},
    {"lr": 0.02, "wd": 0.01, "momentum": 0.5, "method": "deep_ensemble", "members": 2, "spread": 2.0},
    {"lr": 0.1, "method": "deep_ensemble", "members": 3, "epochs": 2},
)
METHODS = (
    {"method": "checkpoint", "members": 2},
    {"method": "snapshot", "members": 2, "sse": {"cycle_epochs": 2, "momentum": 0.5}},
    {"method": "snapshot", "members": 2, "sse": {"cycle_epochs": 1, "cold_restarts": True}},
    {"method": "fge", "members": 2},
    {"method": "swag", "members": 2, "swag": {"epochs": 4, "rank": 2}},
    {"method": "swa", "swag": {"epochs": 4}},
    {"method": "single", "tta": True, "members": 2},
    {"method": "deep_ensemble", "tta": True, "members": 2, "schedule": "decay30"},
)
OTHERS = ("csgld", "mc_dropout", "vi", "laplace", "last_layer_laplace", "batch_ensemble", "packed", "mimo")


def configs_of(cases, **values):
    return [Config.model_validate(SMALL | values | case) for case in cases]


@pytest.fixture
def stack(monkeypatch):
    """Sets what the timed steps would find, and keeps the numbers of networks that were asked for."""

    def of(engine):
        asked = []
        monkeypatch.setattr(
            train_fused, "fastest_engine", lambda config, data, ctx, networks: asked.append(networks) or engine
        )
        return asked

    return of


@pytest.fixture(scope="module")
def apart(run_in_memory):
    """What each trial does alone; trial number n has seed n."""
    done = {}

    def of(configs):
        for seed, config in enumerate(configs):
            if (seed, config) not in done:
                done[seed, config] = run_in_memory(train, config, seed=seed)
        return [done[seed, config] for seed, config in enumerate(configs)]

    return of


@pytest.fixture
def together(together_in_memory):
    def of(configs, stops=None, saved=None):
        nothing = [None] * len(configs)
        return together_in_memory(
            PROJECT.fusion.train, configs, seeds=range(len(configs)), stops=stops or nothing, saved=saved or nothing
        )

    return of


def check_reports(found, expected):
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        assert one == pytest.approx(other, rel=1e-3, abs=1e-4, nan_ok=True)


def check_tables(found, expected):
    assert set(found) == set(expected)
    for name, table in expected.items():
        if name == "curve":
            rounded = ["value", "temperature", "temperature_std"]
            assert found[name].drop_columns(rounded).equals(table.drop_columns(rounded))
            values = [t["value"].to_numpy() for t in (found[name], table)]
            np.testing.assert_allclose(*values, rtol=1e-3, atol=2e-4)
        else:
            lps = [np.array(t["lp"].to_pylist()) for t in (found[name], table)]
            np.testing.assert_allclose(*lps, atol=2e-4)
            assert found[name].drop_columns("lp").equals(table.drop_columns("lp"))
            records = [json.loads(t.schema.metadata[b"raybayes.member"]) for t in (found[name], table)]
            assert all(record.pop("seconds") > 0 for record in records)
            assert records[0] == records[1]


def check(found, expected):
    for one, other in zip(found, expected, strict=True):
        check_reports(one.reports, other.reports)
        check_tables(one.tables, other.tables)


@pytest.mark.parametrize("engine", ["vmap", "grouped"])
def test_every_trial_is_what_it_is_alone(engine, stack, apart, together):
    asked = stack(engine)
    configs = configs_of(SWEEP)
    check(together(configs), apart(configs))
    assert asked == [4], "each of them trains one network at a time"


def test_methods_go_side_by_side(stack, apart, together):
    stack("grouped")
    configs = configs_of(METHODS)
    assert len({PROJECT.fusion.alike(config) for config in configs}) == 1
    check(together(configs), apart(configs))


def test_members_too_where_they_are_asked_for(stack, apart, together):
    asked = stack("vmap")
    for engine in ("grouped", "auto"):
        configs = configs_of(SWEEP[2:], engine=engine)
        alone = apart([config.model_copy(update={"engine": "grouped"}) for config in configs])
        found = together(configs)
        for config, one, other in zip(configs, found, alone, strict=True):
            assert len(one.reports) == len(other.reports) == plan(config).steps
            check_reports(one.reports, other.reports)
    assert asked == [8], "5 networks, rounded up, and no measurement where an engine is named"


def test_the_first_engine_of_all_is_that_of_trials_apart(stack, apart, together):
    stack("sequential")
    configs = configs_of(SWEEP)
    for one, other in zip(together(configs), apart(configs), strict=True):
        assert one.reports == other.reports
        assert {name: t.to_pydict() for name, t in one.tables.items()} == {
            name: t.to_pydict() for name, t in other.tables.items()
        }


def test_one_that_is_stopped_leaves_the_others_alone(stack, apart, together):
    stack("grouped")
    configs = configs_of(SWEEP)
    whole = apart(configs)
    found = together(configs, stops=[2, None, 1, None])
    for n, steps in ((0, 2), (2, 1)):
        check_reports(found[n].reports, whole[n].reports[:steps])
        assert not any(name.startswith("predictions") for name in found[n].tables)
    check([found[1], found[3]], [whole[1], whole[3]])


@pytest.mark.parametrize("engine", ["sequential", "grouped"])  # of the trials themselves; the second has rounds
def test_checkpoints_go_from_company_to_alone_and_back(engine, stack, apart, together, run_in_memory):
    stack("grouped")
    cases = SWEEP if engine == "sequential" else SWEEP[2:]
    configs = configs_of(cases) if engine == "sequential" else configs_of(cases, engine=engine)
    whole, stops = apart(configs), [1, None, 4, 3] if engine == "sequential" else [3, 4]  # 4: within a round of 3
    begun = together(configs, stops=stops)
    for seed, (config, first, other) in enumerate(zip(configs, begun, whole, strict=True)):
        if first.saved is not None:
            last = run_in_memory(train, config, seed=seed, saved=first.saved)
            check_reports(first.reports + last.reports, other.reports)
            check_tables(first.tables | last.tables, other.tables)
    alone = [
        run_in_memory(train, config, seed=seed, stop_at=stop)
        for seed, (config, stop) in enumerate(zip(configs, stops, strict=True))
    ]
    rest = together(configs, saved=[first.saved for first in alone])
    for first, last, other in zip(alone, rest, whole, strict=True):
        reports = last.reports if first.saved is None else first.reports + last.reports
        check_reports(reports, other.reports)
        check_tables(first.tables | last.tables, other.tables)


def test_one_that_diverges_harms_no_other(stack, apart, together):
    stack("grouped")
    configs = configs_of([SWEEP[0], {"lr": 10.0, "wd": 1.0, "epochs": 20}, SWEEP[1]])
    found, whole = together(configs), apart(configs)
    assert np.isnan(found[1].reports[-1]["cll"])
    check([found[0], found[2]], [whole[0], whole[2]])


def test_time_is_shared_equally(stack, together):
    stack("grouped")
    found = together(configs_of([{"lr": 0.1}, {"lr": 0.2}]))
    seconds = [
        json.loads(one.tables["predictions/val-member-000"].schema.metadata[b"raybayes.member"])["seconds"]
        for one in found
    ]
    assert seconds[0] == seconds[1] > 0


def test_what_is_alike():
    alike = PROJECT.fusion.alike
    same = configs_of([*SWEEP, {"training_seed": 3}, {"budget_epochs": 6, "method": "deep_ensemble", "members": 2}])
    assert len({alike(config) for config in same}) == 1
    others = [{"arch": "mlp"}, {"batch": 16}, {"augment": False}, {"train_images": 0}, {"split_seed": 1},
              {"dataset": "mnist"}, {"foreign": "letters-sample"}, {"engine": "auto"}]  # fmt: skip
    kinds = {alike(config) for config in configs_of([{}, *others])}
    assert len(kinds) == 1 + len(others)
    assert None not in kinds
    apart = [{"engine": "sequential"}, {"share": "images"}, {"dropout": {"always": True}},
             {"dataset": "cifar10-sample", "arch": "resnet20"}, {"method": "swa", "reuse_pretrained": True},
             *({"method": method} for method in OTHERS)]  # fmt: skip
    assert {alike(config) for config in configs_of(apart)} == {None}


def test_how_many_at_most():
    most = PROJECT.fusion.most
    cases = [{"batch": 16}, {"batch": 48}, {"batch": 64}, {"batch": 10_000}]
    assert [most(config) for config in configs_of(cases)] == [64, 42, 1, 1]
    ensemble = {"method": "deep_ensemble", "members": 4, "batch": 16}
    assert [most(config) for config in configs_of([ensemble, ensemble | {"engine": "grouped"}])] == [64, 16]


def test_the_fastest_engine_is_measured_for_the_whole_stack(together, caplog):
    caplog.set_level("INFO")
    configs = configs_of([{"lr": 0.1, "batch": 33}, {"lr": 0.2, "batch": 33}, {"batch": 33}], epochs=1)
    found = together(configs)
    assert "(a step of 4 networks: sequential" in caplog.text
    assert [len(one.reports) for one in found] == [1, 1, 1]
    assert all(np.isfinite(one.reports[-1]["test_cll"]) for one in found)
