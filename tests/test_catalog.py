"""The catalogue: projects found by file name and entry point, spaces checked against Configs, documented keys."""

import importlib
import importlib.metadata
from typing import Annotated, Any, Literal, Union

import pytest
from pydantic import BaseModel, Field

from raybayes import catalog
from raybayes.contract import Metric, Project
from raybayes.errors import RaybayesError, SpaceError, SpecError
from raybayes.space import Choice, Float, Int, Space

PARABOLA = "parabola"


def sentence(kind: type[RaybayesError], call: Any, *arguments: Any) -> str:
    with pytest.raises(kind) as caught:
        call(*arguments)
    return str(caught.value)


def assert_names(text: str, words: list[str]) -> None:
    assert [word for word in words if word not in text] == [], text


@pytest.fixture
def root(tmp_path):
    """A folder with projects of its own, in the catalogue for one test."""
    for package in ("trainables", "search_spaces"):
        (tmp_path / package).mkdir()
    catalog.add_root(str(tmp_path))
    return tmp_path


def project(name: str, config: type[BaseModel]) -> Project:
    return Project(
        name, "a test", "none", config, lambda config, ctx: None, (Metric("loss", "minimize"),), "step", "data"
    )


# -- finding -----------------------------------------------------------------------------------------------------


def test_projects_are_found_by_their_folders(root):
    (root / "trainables" / "sixth").mkdir()
    (root / "trainables" / "sixth" / "__init__.py").write_text("raise RuntimeError('listing must import nothing')")
    (root / "trainables" / "_helpers.py").write_text("")
    names = catalog.project_names()
    assert {"ensembles", "parabola", "sixth"} <= set(names)
    assert "_helpers" not in names
    assert names == sorted(names)


def test_a_sixth_project_needs_two_files(root):
    (root / "trainables" / "sixth.py").write_text(
        "from pydantic import BaseModel\n"
        "from raybayes.contract import Metric, Project\n"
        "class Config(BaseModel):\n    lr: float = 0.1\n"
        "PROJECT = Project('sixth', 's', 'p', Config, print, (Metric('loss', 'minimize'),), 'step', 'data')\n"
    )
    (root / "search_spaces" / "sixth.py").write_text(
        "from raybayes.space import Float, Space\nSPACE = Space({'lr': Float(0.1, 1.0)})\nPAPER = Space({})\n"
    )
    sixth = catalog.load_project("sixth")
    assert set(catalog.load_spaces("sixth")) == {"SPACE", "PAPER"}
    assert catalog.load_space(sixth)["lr"] == Float(0.1, 1.0)
    assert str(root) in catalog.roots()


def test_the_current_folder_takes_part(root, monkeypatch, tmp_path_factory):
    here = tmp_path_factory.mktemp("here")
    (here / "trainables").mkdir()
    (here / "trainables" / "localone.py").write_text("")
    monkeypatch.chdir(here)
    assert "localone" in catalog.project_names()
    assert str(here) in catalog.roots()


def test_a_root_is_added_once(root):
    before = catalog.roots()
    catalog.add_root(str(root))
    catalog.add_root(str(root / "nowhere"))
    assert catalog.roots() == before


def test_projects_of_other_packages_come_by_entry_point(root, monkeypatch):
    (root / "elsewhere.py").write_text(
        "from pydantic import BaseModel\n"
        "from raybayes.contract import Metric, Project\n"
        "from raybayes.space import Space\n"
        "class Config(BaseModel):\n    lr: float = 0.1\n"
        "PROJECT = Project('far', 's', 'p', Config, print, (Metric('loss', 'minimize'),), 'step', 'data')\n"
        "SPACE = Space({})\n"
    )
    monkeypatch.syspath_prepend(str(root))
    points = {
        "raybayes.projects": [importlib.metadata.EntryPoint("far", "elsewhere:PROJECT", "raybayes.projects")],
        "raybayes.spaces": [importlib.metadata.EntryPoint("far", "elsewhere", "raybayes.spaces")],
    }
    monkeypatch.setattr(importlib.metadata, "entry_points", lambda group: points[group])
    assert "far" in catalog.project_names()
    assert catalog.load_project("far").name == "far"
    assert catalog.load_space(catalog.load_project("far")) == Space({})


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("parabolo", ["'parabolo'", "did you mean 'parabola'? Valid projects: ", "ensembles"]),
        ("zzz", ["unknown project 'zzz'; valid projects: ", "ensembles", "parabola"]),
        ("os.path", ["unknown project 'os.path'; valid projects: "]),
    ],
)
def test_an_unknown_project_is_named(name, words):
    assert_names(sentence(SpecError, catalog.load_project, name), words)


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("PROJECT = 3\n", ["trainables/broken", "PROJECT = 3", "must be a raybayes Project"]),
        ("", ["trainables/broken", "PROJECT = None", "must be a raybayes Project"]),
        ("import no_such_package\n", ["trainables/broken", "no_such_package", "install what it needs"]),
        (
            "from trainables.parabola import PROJECT\n",
            ["trainables/broken", "'parabola'", "must be 'broken'", "folder"],
        ),
    ],
)
def test_a_broken_project_is_named(root, source, words):
    (root / "trainables" / "broken.py").write_text(source)
    assert_names(sentence(SpecError, catalog.load_project, "broken"), words)


# -- spaces ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", catalog.project_names())
def test_the_spaces_of_every_project_fit(name):
    found = catalog.load_project(name)
    spaces = catalog.load_spaces(name)
    assert "SPACE" in spaces
    for space in set(spaces) - {"WRONG"}:  # which a test project has for the tests of mistakes
        assert catalog.load_space(found, space) == spaces[space]


@pytest.mark.parametrize(
    ("space", "words"),
    [
        ("SPAC", ["search_spaces/parabola.py", "'SPAC'", "did you mean 'SPACE'? Valid spaces: SPACE, GRID, WRONG."]),
        ("zzz", ["has no space 'zzz'; valid spaces: SPACE, GRID, WRONG."]),
        ("WRONG", ["search_spaces/parabola.py: WRONG", "unknown key 'learning_rate'", "lr (default 0.1)"]),
    ],
)
def test_a_wrong_space_is_named(space, words):
    assert_names(sentence(SpaceError, catalog.load_space, catalog.load_project(PARABOLA), space), words)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        ("{'lr': Float(0.1, 20.0)}", ["SPACE: lr", "takes 20.0", "refuses", "less than or equal to 10"]),
        ("{'lr': Float(0.0, 1.0)}", ["SPACE: lr", "takes 0.0", "refuses", "greater than 0"]),
        ("{'steps': Float(1.5, 3.0)}", ["SPACE: steps", "takes 1.5", "refuses", "integer"]),
        ("{'method': Choice('plain', 'adam')}", ["SPACE: method", "takes 'adam'", "'plain' or 'momentum'"]),
        ("{'momentum.beta': Choice(0.9, 1.0)}", ["SPACE: momentum.beta", "takes 1.0", "less than 1"]),
        ("{'momentum': Choice(1)}", ["SPACE: momentum is a group of keys", "name one of them: momentum.beta"]),
        ("{'momentum.bta': Choice(1)}", ["SPACE: unknown key 'momentum.bta'", "did you mean 'momentum.beta'?"]),
    ],
)
def test_a_range_that_the_project_refuses_is_named(monkeypatch, table, words):
    space = Space(eval(table, {"Float": Float, "Choice": Choice}))
    monkeypatch.setattr(catalog, "load_spaces", lambda name: {"SPACE": space})
    assert_names(sentence(SpaceError, catalog.load_space, catalog.load_project(PARABOLA)), words)


def test_an_optional_group_is_searched_too(monkeypatch):
    class Group(BaseModel):
        rate: float = Field(0.1, le=1)

    class Config(BaseModel):
        group: Group | None = None

    found = project("optional", Config)
    monkeypatch.setattr(
        catalog,
        "load_spaces",
        lambda name: {"GOOD": Space({"group.rate": Float(0, 1)}), "BAD": Space({"group.rate": Int(1, 2)})},
    )
    assert len(catalog.load_space(found, "GOOD")) == 1
    assert_names(
        sentence(SpaceError, catalog.load_space, found, "BAD"), ["group.rate", "takes 2", "less than or equal to 1"]
    )


@pytest.mark.parametrize(
    ("source", "kind", "words"),
    [
        (None, SpaceError, ["search_spaces/broken.py does not exist", "SPACE = Space("]),
        ("", SpaceError, ["search_spaces/broken.py", "has no space 'SPACE'; valid spaces: none."]),
        (
            "from raybayes.space import *\nSPACE = Space({'x': Int(3, 1)})\n",
            SpaceError,
            ["search_spaces/broken.py: x: low 3"],
        ),
        (
            "import no_such_package\n",
            SpecError,
            ["search_spaces/broken.py", "no_such_package", "install what it needs"],
        ),
    ],
)
def test_a_broken_file_of_spaces_is_named(root, source, kind, words):
    if source is not None:
        (root / "search_spaces" / "broken.py").write_text(source)

    class Config(BaseModel):
        x: int = 1

    assert_names(sentence(kind, catalog.load_space, project("broken", Config)), words)


# -- configurations ----------------------------------------------------------------------------------------------


def test_defaults_and_configurations_have_dotted_names():
    found = catalog.load_project(PARABOLA)
    known = catalog.defaults(found)
    assert (known["lr"], known["momentum.beta"]) == (0.1, 0.9)
    config = catalog.configure(found, {"lr": "1e-2", "momentum.beta": 0.5})
    assert (config.lr, config.momentum.beta, config.steps) == (0.01, 0.5, 4)


@pytest.mark.parametrize(
    ("settings", "fixed"),
    [
        ({}, {}),
        ({"lr": "1e-3"}, {"lr": 0.001}),
        ({"steps": 2.0, "method": "momentum"}, {"steps": 2, "method": "momentum"}),
        ({"momentum.beta": "0.5"}, {"momentum.beta": 0.5}),
        ({"momentum": {"beta": 0.5}, "lr": 1}, {"lr": 1.0, "momentum.beta": 0.5}),
    ],
)
def test_fixed_values_are_those_that_were_set(settings, fixed):
    found = catalog.fixed_values(catalog.load_project(PARABOLA), settings)
    assert found == fixed
    assert [type(value) for value in found.values()] == [type(value) for value in fixed.values()]


def test_a_group_fixes_only_the_keys_that_were_named():
    found = catalog.load_project("ensembles")
    assert catalog.fixed_values(found, {"sse": {"max_lr": 0.3}}) == {"sse.max_lr": 0.3}


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"lr": 100}, ["parabola config: lr", "found 100", "less than or equal to 10"]),
        ({"lr": "fast"}, ["parabola config: lr", "found 'fast'", "number"]),
        ({"learning_rate": 1}, ["parabola config: unknown key 'learning_rate'", "lr (default 0.1)"]),
        ({"momentum.bta": 1}, ["unknown key 'momentum.bta'", "did you mean 'momentum.beta'?", "(default 0.9)"]),
        ({"momentum": 1}, ["momentum", "found 1", "valid dictionary"]),
    ],
)
def test_a_wrong_setting_is_named(settings, words):
    assert_names(sentence(SpecError, catalog.fixed_values, catalog.load_project(PARABOLA), settings), words)


# -- documentation -----------------------------------------------------------------------------------------------


class Deep(BaseModel):
    rate: float = Field(0.1, gt=0, le=1, description="a rate")


class Other(BaseModel):
    speed: int = 1


class Documented(BaseModel):
    n: int = Field(1, ge=1, lt=10, description="a count")
    kind: Literal["a", "b"] = "a"
    maybe: float | None = Field(None, gt=0, le=100, description="or not")
    either: Union[int, str] = 1  # noqa: UP007 - the old spelling is documented alike
    perhaps: Literal[1, 2] | None = None
    sizes: tuple[int, ...] = (1,)
    names: list[str] = []
    inner: Annotated[float, "a note"] | None = None
    on: bool = True
    deep: Deep = Deep()
    lazy: Deep | None = None
    one_of: Deep | Other = Other()


def test_every_kind_of_key_is_documented():
    found = catalog.documentation(project("documented", Documented))
    assert found == {
        "n": ("int >= 1 < 10", "a count"),
        "kind": ("a | b", ""),
        "maybe": ("float > 0 <= 100 | null", "or not"),
        "either": ("int | str", ""),
        "perhaps": ("1 | 2 | null", ""),
        "sizes": ("tuple[int, ...]", ""),
        "names": ("list[str]", ""),
        "inner": ("float | null", ""),
        "on": ("bool", ""),
        "deep.rate": ("float > 0 <= 1", "a rate"),
        "lazy.rate": ("float > 0 <= 1", "a rate"),
        "one_of.rate": ("float > 0 <= 1", "a rate"),
        "one_of.speed": ("int", ""),
    }


@pytest.mark.parametrize("name", catalog.project_names())
def test_real_projects_document_every_key(name):
    found = catalog.load_project(name)
    documented = catalog.documentation(found)
    assert list(documented) == list(catalog.defaults(found))
    assert [key for key, (kind, meaning) in documented.items() if not kind or not meaning] == []


def test_the_ensembles_are_documented_as_their_users_write_them():
    documented = catalog.documentation(catalog.load_project("ensembles"))
    assert documented["lr"][0] == "float > 0 <= 10"
    assert documented["laplace.scale"][0] == "float > 0 <= 100 | null"
    assert documented["method"][0].startswith("single | deep_ensemble | checkpoint | snapshot")
    assert documented["swag.collect"] == ("1 | 2 | 4", "Collected weights per epoch. [P] 1")


def test_the_printed_types_can_be_written_back():
    """Each alternative of a documented Literal is accepted as a setting, and null where it is offered."""
    found = catalog.load_project("ensembles")
    for key, (kind, _) in catalog.documentation(found).items():
        if kind.endswith("| null"):
            assert catalog.fixed_values(found, {key: None}) == {key: None}
        elif " | " in kind and key != "method":  # a method brings demands on other keys
            assert str(catalog.defaults(found)[key]) in kind.split(" | ")
