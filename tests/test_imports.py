"""The arrows of the house: who may import whom, which library lives where, and what a cold start does not load."""

import json
import subprocess
import sys
from pathlib import Path

import import_graph
import pytest
from import_graph import Import, arrows_of, circles_by_folder, circles_of, imports_of, modules_of

ROOT = Path(__file__).parent.parent
PACKAGES = ("raybayes", "trainables", "search_spaces")
MODULES = {name: file for package in PACKAGES for name, file in modules_of(ROOT, package).items()}
PROJECTS = sorted(name for name in MODULES if name.startswith("trainables.") and name.count(".") == 1)
IMPORTS = [found for package in PACKAGES for found in import_graph.read(ROOT, package, MODULES)]

# Each part of raybayes has a level of its own and imports only from the levels above it in this list.
LEVELS = (
    "_version",
    "errors",
    "clock",
    "seeds",
    "hardware",
    "wording",
    "versions",
    "contract",
    "space",
    "spec",
    "catalog",
    "data",
    "store",
    "search",
    "training",
    "engine.messages",
    "engine.controller",
    "engine.worker",
    "engine.monitor",
    "engine.interrupt",
    "engine.background",
    "engine.in_process",
    "engine.simulated",
    "engine.on_ray",
    "engine.run",
    "reporting",
    "sweeps",
    "api",
    "__init__",  # the flat face: `raybayes` itself
    "testing",  # beside its users: a contract goes through the same door as they do
    "launch.cluster_paths",
    "launch.node",
    "launch.config",
    "launch.transport",
    "launch.interface",
    "launch.slurm",
    "launch.launchers",
    "launch.registry",
    "launch.jobs",
    "launch.batch",
    "cli",
    "__main__",
)
LEVEL = {name: level for level, name in enumerate(LEVELS)}
# Wings that lie side by side: they are on levels of their own, and still the higher one does not import the lower one.
APART = (
    ("engine.controller", "engine.worker"),
    ("engine.in_process", "engine.on_ray"),
    *(("testing", part) for part in LEVELS if part.startswith("launch")),
)
OWNERS = {
    "ray": {"engine.on_ray", "launch.jobs"},
    "torch": {"engine.worker", "engine.in_process", "engine.on_ray", "data", "store", "testing", "training"},
    "optuna": {"search"},
    "matplotlib": {"reporting"},
    "typer": {"cli"},
    "rich": {"cli", "reporting"},
}
HEAVY = ("ray", "torch", "optuna", "pyarrow", "matplotlib", "pandas", "scipy")


def part_of(module: str) -> str:
    """The name in LEVELS under which a module of raybayes stands; the module's own name if it has none."""
    inner = module.removeprefix("raybayes").removeprefix(".") or "__init__"
    names = inner.split(".")
    prefixes = [".".join(names[:count]) for count in range(len(names), 0, -1)]
    return next((prefix for prefix in prefixes if prefix in LEVEL), inner)


def home_of(module: str) -> str:
    """What a rule speaks of: a part of raybayes, a project, the spaces."""
    names = module.split(".")
    return part_of(module) if names[0] == "raybayes" else ".".join(names[:2] if names[0] == "trainables" else names[:1])


def wrong(found: Import) -> str | None:
    """Why an import breaks a rule of the house."""
    package, top = found.module.split(".")[0], found.target.split(".")[0]
    if package == "raybayes":
        return _wrong_in_raybayes(found, top)
    if package == "trainables":
        if top in ("ray", "optuna", "search_spaces"):
            return f"a training function does not know {top}"
        if top == "raybayes" and part_of(found.target) not in ("contract", "data", "errors", "clock"):
            return "of raybayes a training function sees contract and data (and errors, clock below them)"
        if top == "trainables" and found.target.split(".")[1:2] != found.module.split(".")[1:2]:
            return "projects do not import each other"
    elif top not in sys.stdlib_module_names and found.target != "raybayes.space":
        return "a search space imports raybayes.space only"
    return None


def _may_own(mine: str, library: str) -> bool:
    """Whether a part, or the folder that it is a wing of, may import a library."""
    return bool({mine, mine.split(".")[0]} & OWNERS[library])


def _wrong_in_raybayes(found: Import, top: str) -> str | None:
    mine = part_of(found.module)
    if top in ("trainables", "search_spaces"):  # the catalogue looks for projects in the folder
        return None if (mine, found.target) == ("catalog", "trainables") else "the service knows no project"
    if top == "raybayes":
        theirs = part_of(found.target)
        if LEVEL[theirs] > LEVEL[mine]:
            return f"{mine} stands below {theirs}"
        return f"{mine} and {theirs} do not know each other" if (theirs, mine) in APART else None
    if mine == "__init__" and top not in sys.stdlib_module_names:
        return "importing raybayes must load nothing else"
    if top in OWNERS and not _may_own(mine, top) and not found.only_for_types:
        return f"only {' and '.join(sorted(OWNERS[top]))} may import {top}"
    return None


def test_every_part_has_a_level():
    parts = {part_of(name) for name in MODULES if name.split(".")[0] == "raybayes"} - {"engine", "launch"}
    assert parts == set(LEVELS), "a new part of raybayes needs its place among the levels, and an old one leaves it"


@pytest.mark.parametrize("home", [*LEVELS, *PROJECTS, "search_spaces"])
def test_imports_follow_the_arrows(home):
    mine = [found for found in IMPORTS if home_of(found.module) == home]
    assert [f"{found.place}: {problem}" for found in mine if (problem := wrong(found))] == []


@pytest.mark.parametrize("package", ["raybayes", *PROJECTS, "search_spaces"])
def test_imports_run_in_no_circle(package):
    """Neither from module to module, nor among the files and folders of a folder, so that each has its own level."""
    modules = {name: file for name, file in MODULES.items() if f"{name}.".startswith(f"{package}.")}
    folders = [name for name, file in modules.items() if file.name == "__init__.py"]
    arrows = arrows_of([found for found in IMPORTS if found.module in modules], modules)
    circles, sides = circles_of(arrows), circles_by_folder(arrows, folders)
    count = sum(len(targets) for targets in arrows.values())
    print(f"\n{package}: {len(modules)} modules in {len(folders)} folders, {count} arrows, {len(circles)} circles")
    assert circles == []
    assert sides == {}


@pytest.mark.parametrize(
    ("module", "source", "words"),
    [
        ("raybayes.space", "from raybayes.store import layout", "space stands below store"),
        ("raybayes.search.x", "def f():\n    import raybayes.engine.run", "search stands below engine.run"),
        ("raybayes.sweeps.results", "def f():\n    from raybayes import api", "sweeps stands below api"),
        ("raybayes.space", "if TYPE_CHECKING:\n    import raybayes.api", "space stands below api"),
        ("raybayes.store.x", "from raybayes import __version__", "store stands below __init__"),
        ("raybayes.store.x", "import_module('raybayes.api')", "store stands below api"),
        ("raybayes.reporting.x", "from raybayes.sweeps import results", "reporting stands below sweeps"),
        ("raybayes.sweeps.results", "from raybayes.cli import main", "sweeps stands below cli"),
        ("raybayes.store.x", "from ..engine import run", "store stands below engine.run"),
        ("raybayes.engine.worker.x", "from ..controller import queue", "do not know each other"),
        ("raybayes.search.x", "import ray", "only engine.on_ray and launch.jobs may import ray"),
        ("raybayes.engine.run", "def f():\n    import ray", "only engine.on_ray and launch.jobs may import ray"),
        ("raybayes.engine.controller.x", "import torch", "may import torch"),
        ("raybayes.api", "from optuna.study import Study", "only search may import optuna"),
        ("raybayes", "import torch", "must load nothing else"),
        ("raybayes.engine.run", "import trainables.ensembles", "knows no project"),
        ("trainables.ensembles.x", "from ray import train", "does not know ray"),
        ("trainables.ensembles.x", "from raybayes import catalog", "sees contract and data"),
        ("trainables.ensembles.x", "import trainables.flows.config", "do not import each other"),
        ("search_spaces.x", "import torch", "raybayes.space only"),
        ("search_spaces.x", "from raybayes import spec", "raybayes.space only"),
    ],
)
def test_a_wrong_arrow_is_seen(module, source, words):
    problems = [wrong(found) for found in imports_of(module, module == "raybayes", source, MODULES)]
    assert len(problems) == 1
    assert words in problems[0]


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("raybayes.contract", "if TYPE_CHECKING:\n    import torch"),
        ("raybayes.engine.on_ray.x", "import ray\nfrom raybayes import catalog\nfrom raybayes._version import VERSION"),
        (
            "trainables.ensembles.x",
            "import torch\nfrom trainables.ensembles.config import Config\nfrom raybayes.contract import Metric",
        ),
        ("search_spaces.x", "from raybayes.space import Space"),
    ],
)
def test_a_right_arrow_is_let_through(module, source):
    found = list(imports_of(module, False, source, MODULES))
    assert found
    assert [wrong(one) for one in found] == [None] * len(found)


@pytest.mark.parametrize(
    ("arrows", "circles"),
    [
        ({"a": ["b"], "b": ["c"], "c": []}, []),
        ({"a": ["b"], "b": ["c"], "c": ["b"]}, [["b", "c"]]),
        ({"a": ["b", "d"], "b": ["a"], "c": ["a"], "d": ["e"], "e": ["d"]}, [["d", "e"], ["a", "b"]]),
        ({"a": ["b"], "b": ["c"], "c": ["a", "d"], "d": []}, [["a", "b", "c"]]),
    ],
)
def test_a_circle_is_seen(arrows, circles):
    assert circles_of(arrows) == circles


def test_a_circle_of_folders_is_seen_where_modules_have_none():
    arrows = {"p.a.one": ["p.b.two"], "p.b.two": [], "p.b.three": ["p.a.four"], "p.a.four": ["p.c"], "p.c": []}
    assert circles_of(arrows) == []
    assert circles_by_folder(arrows, ["p", "p.a", "p.b"]) == {"p": [["a", "b"]]}


_ALL_OF = """
import importlib, pkgutil
for found in pkgutil.iter_modules(importlib.import_module({0!r}).__path__, {0!r} + "."):
    importlib.import_module(found.name)
"""
_COLD = {
    "raybayes": "import raybayes",
    "raybayes.cli.main": "import raybayes.cli.main",
    "raybayes.spec": "import raybayes.spec",
    "raybayes.space": "import raybayes.space",
    "raybayes.catalog": "import raybayes.catalog; raybayes.catalog.project_names()",
    "spaces": "import raybayes.catalog; [raybayes.catalog.load_spaces('ensembles')]",
    "the controller's actor": "import raybayes.engine.on_ray.controller_actor as actor\n"
    "actor.keep_pandas_out(); actor.pa.Table.from_pylist([{'a': 1}])",
    "engine/controller": _ALL_OF.format("raybayes.engine.controller"),
    "engine/worker": _ALL_OF.format("raybayes.engine.worker"),
    "--help": "from raybayes.cli.main import main; main(['--help'])",
    "sweep --help": "from raybayes.cli.main import main; main(['sweep', '--help'])",
}
# What a part is there to drive; all else of HEAVY stays out of its process.
_NEEDED = {
    "the controller's actor": {"ray", "optuna", "pyarrow"},
    "engine/controller": {"optuna", "pyarrow"},
    "engine/worker": {"torch", "optuna", "pyarrow"},
}


@pytest.mark.parametrize("what", sorted(_COLD))
def test_a_cold_start_loads_no_heavy_library(what):
    program = f"import sys, json\n{_COLD[what]}\nprint('\\n' + json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert set(json.loads(ran.stdout.splitlines()[-1])) <= _NEEDED.get(what, set())
