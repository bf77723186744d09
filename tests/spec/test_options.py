"""One declaration an option: every door has its options, names, types, defaults and spellings from it."""

import inspect
import pathlib
from pathlib import Path
from typing import Any, get_args, get_type_hints

import pytest
import typer.main

import raybayes as rb
from raybayes.cli.main import app
from raybayes.errors import SpecError
from raybayes.spec import options, signatures
from raybayes.spec.options import IDENTITY, OPTIONS, UNCHANGED, Door, options_at
from raybayes.spec.options_page import options_page
from raybayes.spec.sweep_spec import SweepSpec, make_spec
from raybayes.spec.validation import build

DOORS = get_args(Door)
# What a call or command takes beside its options.
OWN = {
    "sweep": {"project", "Config", "watch"},
    "train": {"project", "config", "watch"},
    "resume": {"path", "train", "space", "sampler", "watch"},
    "extend": {"path", "trials", "train", "space", "sampler", "watch"},
    "confirm": {"path", "top", "repeats", "train", "watch"},
    "simulate": {"function", "space", "workers", "objective", "first", "charge_driver"},
}
COMMAND_OWN = {
    "--help",
    "-h",
    "--json",
    "--spec",
    "--dry-run",
    "--config",
    "--top",
    "--param",
    "--metric",
    "project",
    "path",
    "trial",
}
EXAMPLES: dict[str, Any] = {
    "config": {"lr": 0.1}, "constraints": {"loss": "<= 3"}, "objective": "loss,size", "sampler": "random",
    "scheduler": "asha:eta=4", "time_budget": "10m", "concurrency": "auto", "storage": pathlib.Path("runs"),
    "name": "one", "data": pathlib.Path("data"), "checkpoint_every": "30s", "ask_ahead": "never", "fuse": 4,
    "isolate": True, "report_timeout": 60, "fixed_params": {"lr": 0.1}, "warm_start": pathlib.Path("runs/old"),
    "confirm": "5x3", "walltime": "2h", "executor": "local", "space": "PAPER",
    "code_changed": True, "retry_failed": True, "stop_when": "plateau:30,target:0.05", "budget": "40cpuh",
    "allow_import": "package.module", "require": ("beta < lr",),
}  # fmt: skip
NUMBERS = ("trials", "repeats", "weight", "workers", "cpus_per_worker", "gpus_per_worker", "seed", "keep_checkpoints",
           "trials_per_process", "process_growth_gib", "retries", "max_failed_fraction")  # fmt: skip


def command(door):
    return typer.main.get_command(app).commands[door]


@pytest.mark.parametrize("door", DOORS)
class TestEveryDoor:
    def test_the_call_takes_what_is_declared(self, door):
        found = inspect.signature(getattr(rb, door)).parameters
        declared = {option.name: option for option in options_at(door) if option.name not in OWN[door]}
        assert set(found) == OWN[door] | set(declared)
        for name, option in declared.items():
            assert found[name].kind is inspect.Parameter.KEYWORD_ONLY
            assert found[name].annotation == option.accepts
            later = door in ("resume", "extend", "confirm") and option.stored
            assert found[name].default == (UNCHANGED if later else option.defaults.get(door, option.default)), name

    def test_type_checkers_see_the_same(self, door):
        hints = get_type_hints(getattr(signatures, f"{door.capitalize()}Options"))
        assert hints == {o.name: o.accepts for o in options_at(door) if o.name not in OWN[door]}

    def test_the_docstring_has_a_line_for_each(self, door):
        text = inspect.getdoc(getattr(rb, door))
        for option in options_at(door):
            assert option.name in OWN[door] or f"    {option.name}: {option.help}" in text

    def test_the_command_has_their_flags(self, door):
        if door == "simulate":  # Python functions have no command line
            return
        parameters = command(door).params
        flags = {flag for parameter in parameters for flag in (*parameter.opts, *parameter.secondary_opts)}
        declared = {flag for option in options_at(door) for flag in option.spelled}
        own = {f"--{name}" for name in OWN[door]}
        assert declared <= flags
        assert flags - declared <= COMMAND_OWN | own
        by_name = {parameter.name: parameter for parameter in parameters}
        for option in options_at(door):
            if option.name not in OWN[door] - {"config"}:
                assert by_name[option.name].help.startswith(option.help)

    def test_an_unknown_name_gets_the_nearest_one(self, door, tmp_path):
        arguments = {"simulate": (lambda config: 1.0, rb.Space({"x": rb.Float(0, 1)})), "extend": (tmp_path, 1)}
        nearest = "seed" if door in ("sweep", "train", "simulate") else "retries"
        verb = "can change" if door in ("resume", "extend") else "takes"
        with pytest.raises(
            SpecError, match=rf"unknown option '{nearest}s'; did you mean '{nearest}'\? {door} {verb}: "
        ):
            getattr(rb, door)(*arguments.get(door, ("parabola",)), **{f"{nearest}s": 1})


def test_every_option_has_a_door_a_type_and_a_sentence():
    for option in OPTIONS.values():
        assert option.doors, option.name
        assert option.help.endswith("."), option.name
        assert option.accepts is not None


def test_the_record_keeps_what_is_stored():
    stored = {name for name, option in OPTIONS.items() if option.stored}
    assert set(SweepSpec.model_fields) == stored | {"kind", "project", "training"}
    assert set(IDENTITY) < set(SweepSpec.model_fields)
    made = SweepSpec(project="parabola", name="one")
    for name in stored - {"name", "storage"}:
        assert getattr(made, name) == OPTIONS[name].read(OPTIONS[name].default), name


def test_what_a_resume_may_change_is_no_part_of_what_a_sweep_is():
    changed = {option.name for option in options_at("resume")}
    assert changed & set(IDENTITY) == {"scheduler"}, "which may change, but by a resume alone"
    assert {option.name for option in options_at("extend")} == changed - {"trials", "retry_failed"}


@pytest.mark.parametrize("name", sorted(OPTIONS))
def test_one_example_is_read_alike_from_python_a_file_and_words(name):
    option = OPTIONS[name]
    given = EXAMPLES.get(name, 1 if name in NUMBERS else None)
    assert given is not None, f"give an example of {name}"
    value = option.value(given)
    if option.words is None and not isinstance(given, bool) and option.accepts not in (int, float):
        assert option.value(str(given)) == value, "as text"
    if option.stored:
        spec = build(SweepSpec, {"project": "parabola", "name": "one", name: given}, "sweep")
        again = build(SweepSpec, spec.model_dump(mode="json"), "sweep.yaml")
        assert getattr(again, name) == getattr(spec, name) == value


def test_words_become_tables():
    assert OPTIONS["config"].words(["lr=1e-3", "a.b=2"]) == {"lr": 1e-3, "a.b": 2}
    assert OPTIONS["constraints"].words(["seconds<=60", "loss >= 1"]) == {"seconds": "<=60", "loss": ">= 1"}


def test_a_spec_file_has_the_options_of_a_sweep():
    with pytest.raises(SpecError, match=r"s\.yaml:3: unknown option 'reuse'; did you mean '.*'\? sweep takes: project"):
        make_spec("sweep", {"project": "parabola", "reuse": {"trials": 1}}, "s.yaml", {"reuse": 3})
    with pytest.raises(SpecError, match="unknown option 'kind'; "):
        make_spec("sweep", {"project": "parabola", "kind": "train"}, "s.yaml")


def test_the_page_of_the_docs_is_the_declaration():
    page = Path(__file__).parents[2] / "docs" / "options.md"
    assert page.read_text(encoding="utf-8") == options_page(), (
        "run python -m raybayes.spec.options_page > docs/options.md"
    )


def test_loading_the_declaration_loads_nothing_else():
    imported = {name for name in vars(options) if inspect.ismodule(getattr(options, name))}
    assert imported == {"reading", "stop_rules"}


class TestResume:
    @pytest.fixture
    def sweep(self, tmp_path):
        return rb.sweep("parabola", trials=1, config={"steps": 1}, storage=tmp_path, name="s", executor="local")

    def test_options_change_under_their_own_names(self, sweep):
        found = rb.resume(Path(sweep.path), time_budget="1h", keep_checkpoints=3, checkpoint_every="30s",
                          report_timeout=None, isolate=False, executor="local")  # fmt: skip
        spec = found.spec
        assert (spec.time_budget, spec.keep_checkpoints, spec.checkpoint_every) == (3600.0, 3, 30.0)
        assert found.resume(executor="local").spec == spec, "what is not given stays"
        assert found.extend(1, retries=7, executor="local").spec.retries == 7

    def test_what_the_sweep_is_made_of_is_refused_with_the_difference(self, sweep):
        with pytest.raises(SpecError, match=r"seed: 0 -> 3 is part of .*resume can change: trials, scheduler, "):
            rb.resume(sweep.path, seed=3, executor="local")
        with pytest.raises(SpecError, match="trials: found 0; extend by 1 or more"):
            rb.extend(sweep.path, 0)

    def test_a_confirmation_takes_the_options_of_confirm(self, sweep):
        stage = rb.confirm(sweep.path, 1, 2, retries=4, executor="local").stages[0]
        assert stage.spec.retries == 4
        with pytest.raises(SpecError, match=r"unknown option 'trials'; .*confirm takes: "):
            rb.resume(stage.path, trials=3, executor="local")
