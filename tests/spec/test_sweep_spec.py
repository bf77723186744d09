"""Specs, settings, times, bounds and YAML files: what is read, and the sentence for everything that is not."""

from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, model_validator

from raybayes.errors import SpecError
from raybayes.spec.component import Component
from raybayes.spec.options import IDENTITY, OPTIONS
from raybayes.spec.reading import duration, parse_bound
from raybayes.spec.sweep_spec import Resources, SweepSpec, differences
from raybayes.spec.validation import Frozen, build, flatten, groups_of, nest, unknown_key
from raybayes.spec.yaml_files import parse_settings, read_yaml


class Adam(Frozen):
    kind: Literal["adam"] = "adam"
    beta: float = 0.9


class Sgd(Frozen):
    kind: Literal["sgd"] = "sgd"
    momentum: float = Field(0.9, ge=0, lt=1)


class Inner(Frozen):
    depth: int = 3


class Group(Frozen):
    rate: float = Field(0.1, gt=0)
    inner: Inner = Field(default_factory=Inner)


class Config(Frozen):
    epochs: int = Field(ge=1)
    group: Group = Group()
    optimiser: Annotated[Adam | Sgd, Field(discriminator="kind")] = Adam()
    maybe: Group | None = None
    table: dict[str, Any] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _possible(self) -> "Config":
        if self.epochs == 13:
            raise ValueError("13 epochs bring bad luck; take 12.")
        return self


def spec(**values: Any) -> SweepSpec:
    return build(SweepSpec, {"project": "parabola", "name": "one", **values}, "sweep")


def sentence(call: Any, *arguments: Any, **named: Any) -> str:
    with pytest.raises(SpecError) as caught:
        call(*arguments, **named)
    return str(caught.value)


def assert_names(text: str, words: list[str]) -> None:
    assert [word for word in words if word not in text] == [], text


# -- records -----------------------------------------------------------------------------------------------------


def test_a_sweep_has_sensible_defaults():
    made = spec()
    assert (made.kind, made.trials, str(made.sampler), str(made.scheduler)) == ("sweep", 10, "tpe", "none")
    assert (made.resources.cpus, made.resources.gpus) == (1.0, 0.0)
    assert Resources(workers=4, cpus_per_worker=2, gpus_per_worker=0.5).gpus == 2.0
    with pytest.raises(ValueError, match="frozen"):
        made.trials = 3


def test_a_spec_survives_its_document():
    made = spec(
        sampler="tpe:n_startup_trials=5",
        scheduler="asha:eta=4,grace_period=2",
        objective="loss, size",
        config={"lr": 1e-3},
    )
    assert made.objective == ("loss", "size")
    again = build(SweepSpec, made.model_dump(mode="json"), "sweep.yaml")
    assert again == made
    assert differences(made, again) == []


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"trials": 0}, ["sweep: trials", "found 0", "greater than or equal to 1"]),
        ({"trials": "many"}, ["sweep: trials", "found 'many'", "integer"]),
        ({"trails": 3}, ["sweep: unknown key 'trails'", "did you mean 'trials'?", "trials (default 10)"]),
        ({"zzz": 3}, ["sweep: unknown key 'zzz'; valid keys: ", "project (required)", "workers (default 1)"]),
        ({"wrkers": 2}, ["wrkers", "did you mean 'workers'?", "(default 1)"]),
        ({"workers": 0}, ["workers", "found 0", "greater than or equal to 1"]),
        ({"time_budget": 0}, ["time_budget", "found 0", "greater than 0"]),
        ({"seed": -1}, ["seed", "found -1", "greater than or equal to 0"]),
        ({"max_failed_fraction": 1.5}, ["max_failed_fraction", "found 1.5", "less than or equal to 1"]),
        ({"name": "a/b"}, ["name", "found 'a/b'", "letters, digits", "starts with a letter or digit"]),
        ({"name": ".."}, ["name", "found '..'", "letters, digits"]),
        ({"kind": "swoop"}, ["kind", "found 'swoop'", "'sweep', 'train'"]),
        ({"sampler": {"nam": "tpe"}}, ["sampler", "unknown key 'nam'", "did you mean 'name'?", "name is missing"]),
        ({"scheduler": "asha:eta"}, ["asha:eta", "option 'eta' has no '='", "asha:eta=4"]),
        ({"constraints": {"size": "< 3"}}, ["size", "found '< 3'", "'<= number' or '>= number'"]),
        ({1: 2}, ["1", "keys should be strings"]),
    ],
)
def test_a_wrong_sweep_is_refused_in_a_sentence(values, words):
    assert_names(sentence(build, SweepSpec, {"project": "parabola", "name": "one", **values}, "sweep"), words)


def test_every_mistake_is_named_at_once_with_its_line():
    text = sentence(build, SweepSpec, {"trials": 0, "workers": 0}, "my.yaml", {"trials": 3})
    lines = text.splitlines()
    assert len(lines) == 4
    assert_names(text, ["my.yaml:3: trials", "my.yaml: workers", "my.yaml: project is missing", "give it a value"])


def test_a_sentence_of_the_model_itself_ends_once():
    assert sentence(build, Config, {"epochs": 13}, "config") == "config: 13 epochs bring bad luck; take 12."


@pytest.mark.parametrize(
    ("loc", "words"),
    [
        (
            ("group", "rat"),
            [
                "unknown key 'group.rat'",
                "did you mean 'group.rate'?",
                "group.rate (default 0.1)",
                "group.inner (group)",
            ],
        ),
        (("group", "inner", "dept"), ["did you mean 'group.inner.depth'?", "group.inner.depth (default 3)"]),
        (("maybe", "rat"), ["did you mean 'maybe.rate'?"]),
        (("optimiser", "momentun"), ["did you mean 'optimiser.momentum'?", "optimiser.beta (default 0.9)"]),
        (("group",), ["group is a group of keys; name one of them: group.rate, group.inner."]),
        (("epoch",), ["did you mean 'epochs'?", "epochs (required)"]),
    ],
)
def test_unknown_keys_are_explained_below_their_group(loc, words):
    assert_names(unknown_key(Config, loc), words)


def test_groups_are_found_behind_every_kind_of_annotation():
    assert groups_of(int) == groups_of(int | None) == groups_of(dict[str, int]) == groups_of(Literal["a"]) == []
    assert groups_of(Group | None) == [Group]
    assert groups_of(Annotated[Adam | Sgd, "either"]) == [Adam, Sgd]


def test_differences_name_what_a_sweep_is_and_nothing_else():
    old = spec()
    assert differences(old, spec(trials=20, concurrency=4, time_budget=60, data="/data", storage="elsewhere")) == []
    assert differences(old, spec(seed=1, sampler="random")) == [
        "sampler: tpe -> random",
        "seed: 0 -> 1",
    ]
    fixed, other = (spec(config={"steps": 2, "rates": [1, 2], **more}) for more in ({}, {"lr": 0.1}))
    assert differences(fixed, other) == ["config.lr: not set -> 0.1"]
    assert differences(fixed, spec(config={"steps": 3, "lr": None}, scheduler="asha:eta=4")) == [
        "config.steps: 2 -> 3",
        "config.rates: [1, 2] -> not set",
        "scheduler: none -> asha:eta=4",
        "config.lr: not set -> None",
    ]
    wider = spec(config={"steps": 2, "rates": (1, 2)}, objective="loss", workers=2)
    assert differences(fixed, wider) == [
        "objective: not set -> loss",
        "workers: 1 -> 2",
    ]
    one, same = (spec(scheduler=f"asha:{options}") for options in ("eta=4,grace_period=2", "grace_period=2,eta=4"))
    assert differences(one, same) == []
    assert set(IDENTITY) < set(SweepSpec.model_fields)


# -- named parts, settings, bounds, times ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "name", "options"),
    [
        ("tpe", "tpe", {}),
        ("asha:eta=4,grace_period=2", "asha", {"eta": 4, "grace_period": 2}),
        ("asha: eta = 4 , ", "asha", {"eta": 4}),
        ("tpe:multivariate=false,seed=null,x=1e-3", "tpe", {"multivariate": False, "seed": None, "x": 1e-3}),
        ("optuna.samplers.QMCSampler:qmc_type=halton", "optuna.samplers.QMCSampler", {"qmc_type": "halton"}),
        ({"name": "asha", "options": {"eta": 4}}, "asha", {"eta": 4}),
        (Component(name="asha", options={"eta": 2.5}), "asha", {"eta": 2.5}),
    ],
)
def test_a_named_part_is_read_and_written(text, name, options):
    made = Component.parse(text)
    assert (made.name, made.options) == (name, options)
    assert Component.parse(str(made)) == made


@pytest.mark.parametrize(
    ("pair", "value"),
    [
        ("lr=0.1", 0.1),
        ("lr=1e-3", 1e-3),
        ("lr=-2.5E+4", -2.5e4),
        ("lr='1e-3'", "1e-3"),
        ("lr=1e-3x", "1e-3x"),
        ("n=3", 3),
        ("on=true", True),
        ("x=null", None),
        ("x=", None),
        ("name=a=b", "a=b"),
        ("list=[1, 2]", [1, 2]),
        (" lr = 3", 3),
    ],
)
def test_a_setting_is_read_as_yaml(pair, value):
    found = parse_settings([pair])
    assert list(found.values()) == [value]
    assert type(next(iter(found.values()))) is type(value)


def test_the_last_of_equal_settings_counts():
    assert parse_settings(["lr=1", "n=2", "lr=3"]) == {"lr": 3, "n": 2}


@pytest.mark.parametrize(
    ("pair", "words"),
    [
        ("lr", ["'lr'", "no '='", "name=value", "-s lr=0.1"]),
        ("=3", ["'=3'", "name=value"]),
        ("lr=[1, 2", ["lr", "'[1, 2'", "not valid YAML", "quote it"]),
    ],
)
def test_a_wrong_setting_is_named(pair, words):
    assert_names(sentence(parse_settings, [pair]), words)


@pytest.mark.parametrize(
    ("text", "relation", "limit"), [("<= 60", "<=", 60.0), (" >=-1e3 ", ">=", -1000.0), ("<=0.5", "<=", 0.5)]
)
def test_a_bound_is_read(text, relation, limit):
    assert parse_bound("seconds", text) == (relation, limit)


@pytest.mark.parametrize(
    "text", ["< 3", "== 3", "3", "", "<=", "<= e", "<= 1-2", "<= inf", "<= nan", "<= 1e999", "<= 3 s"]
)
def test_a_wrong_bound_is_named(text):
    assert_names(sentence(parse_bound, "seconds", text), ["seconds", repr(text), "'<= number' or '>= number'"])


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("90s", 90),
        ("30m", 1800),
        ("2h", 7200),
        ("1d", 86400),
        ("1h30m", 5400),
        ("1.5h", 5400),
        ("1 h 5 s", 3605),
        (12.5, 12.5),
        (None, None),
    ],
)
def test_a_time_is_read(text, seconds):
    assert duration(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "-5", "2 hours", "1..5h", "h", "1h-3m", "1e3"])
def test_a_wrong_time_is_named(text):
    assert_names(sentence(OPTIONS["walltime"].value, text), ["walltime: found", repr(text), "90s, 30m, 2h or 1h30m"])
    assert_names(sentence(spec, time_budget=text), ["time_budget: found", repr(text), "90s, 30m, 2h or 1h30m"])


@given(st.integers(0, 20), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59))
def test_times_add_up(days, hours, minutes, seconds):
    assert duration(f"{days}d{hours}h{minutes}m{seconds}s") == ((days * 24 + hours) * 60 + minutes) * 60 + seconds


# -- flat and nested ---------------------------------------------------------------------------------------------


def test_a_configuration_is_flattened_in_the_order_of_its_fields():
    assert flatten(Config(epochs=2)) == {
        "epochs": 2,
        "group.rate": 0.1,
        "group.inner.depth": 3,
        "optimiser.kind": "adam",
        "optimiser.beta": 0.9,
        "maybe": None,
        "table": {},
    }


_names = st.text("abc", min_size=1, max_size=2)
_trees = st.recursive(
    st.dictionaries(_names, st.integers(), max_size=3),
    lambda inner: st.dictionaries(_names, inner | st.integers(), min_size=1, max_size=3),
)


def _slowly_flat(tree: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        flat |= _slowly_flat(value, f"{prefix}{name}.") if isinstance(value, dict) and value else {prefix + name: value}
    return flat


@given(_trees)
def test_nest_is_the_inverse_of_flat_names(tree):
    flat = _slowly_flat(tree)
    assert nest(flat) == tree
    assert _slowly_flat(nest(flat)) == flat
    assert nest(tree) == tree


@given(st.integers(1, 9), st.floats(0.01, 9), st.integers(0, 9), st.booleans(), st.none() | st.floats(0.1, 1))
def test_a_configuration_survives_its_flat_form(epochs, rate, depth, sgd, maybe):
    config = Config(
        epochs=epochs,
        group=Group(rate=rate, inner=Inner(depth=depth)),
        optimiser=Sgd() if sgd else Adam(),
        maybe=None if maybe is None else Group(rate=maybe),
        table={"a.b": 1},
    )
    assert Config(**nest(flatten(config))) == config


def test_groups_and_dotted_names_mix_in_any_order():
    wanted = {"sse": {"rate": 1, "inner": {"depth": 2, "width": 3}}}
    group = {"rate": 1, "inner": {"depth": 2}}
    assert nest({"sse": group, "sse.inner.width": 3}) == wanted
    assert nest({"sse.inner.width": 3, "sse": group}) == wanted
    assert group == {"rate": 1, "inner": {"depth": 2}}, "the caller's table stays as it was"
    assert nest({"sse": {"rate": 0}, "sse.rate": 1}) == {"sse": {"rate": 1}}


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"sse": 5, "sse.rate": 1}, ["sse.rate", "already has the value 5", "cannot contain 'rate'"]),
        ({"sse.rate": 1, "sse": 5}, ["sse", "already contains rate", "cannot be 5"]),
        ({"sse": 5, "sse.inner.depth": 1}, ["sse.inner.depth", "already has the value 5"]),
        (
            {"sse.rate": 1, "sse": {"rate": {"x": 2}}},
            ["sse.rate", "already has the value 1", "cannot also be the group {'x': 2}"],
        ),
    ],
)
def test_a_name_is_a_value_or_a_group(values, words):
    assert_names(sentence(nest, values), words)


# -- YAML files --------------------------------------------------------------------------------------------------


def test_a_yaml_file_knows_its_lines(tmp_path):
    file = tmp_path / "sweep.yaml"
    file.write_text(
        "# raybayes sweep --spec sweep.yaml\nproject: parabola\nconfig:\n  lr: 1e-3\n  momentum: {beta: 0.5}\n"
    )
    values, lines = read_yaml(str(file))
    assert values == {"project": "parabola", "config": {"lr": 1e-3, "momentum": {"beta": 0.5}}}
    assert lines == {"project": 2, "config": 3, "config.lr": 4, "config.momentum": 5, "config.momentum.beta": 5}


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"trials: [1, 2\nname: x\n", ["s.yaml:2:", "not valid YAML", "expected ',' or ']'"]),
        (b"a: b: c\n", ["s.yaml:1:5", "not valid YAML"]),
        (b"- one\n- two\n", ["s.yaml", "found list", "table of key: value lines"]),
        (b"", ["s.yaml", "found nothing", "table of key: value lines"]),
        (b"\xff\xfe\x00k", ["s.yaml", "not UTF-8 text", "give a YAML file"]),
        (b"trials: 3\nseed: 1\ntrials: 4\n", ["s.yaml:3", "trials", "already set in line 1", "keep one"]),
        (b"config:\n  lr: 1\n  lr: 2\n", ["s.yaml:3", "config.lr", "already set in line 2"]),
        (b"a: !!python/object/apply:os.getcwd []\n", ["s.yaml:1:4", "not valid YAML"]),
    ],
)
def test_a_wrong_file_is_named_with_its_line(tmp_path, content, words):
    file = tmp_path / "s.yaml"
    file.write_bytes(content)
    assert_names(sentence(read_yaml, str(file)), words)


def test_a_missing_file_is_named(tmp_path):
    text = sentence(read_yaml, str(tmp_path / "none.yaml"))
    assert_names(text, ["none.yaml", "No such file", "check the path"])


def test_a_model_with_no_groups_is_flat():
    class Flat(BaseModel):
        a: int = 1
        b: tuple[int, ...] = (1, 2)

    assert flatten(Flat()) == {"a": 1, "b": (1, 2)}
