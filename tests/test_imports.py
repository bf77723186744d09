"""The arrows of the house: who may import whom, which library lives where, and what a cold start does not load."""

import ast
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).parent.parent
FILES = sorted(file for part in ("raybayes", "trainables", "search_spaces") for file in (ROOT / part).rglob("*.py"))

# Imports go to the left or stay where they are.
LEVELS = (
    ("errors", "clock", "seeds", "hardware"),
    ("contract", "space", "spec"),
    ("catalog", "data", "store", "search"),
    ("engine", "reporting"),
    ("launch",),
    ("sweeps", "api"),
    ("cli",),
    ("__main__",),
)
LEVEL = {name: level for level, names in enumerate(LEVELS) for name in names}
OWNERS = {
    "ray": {"engine", "launch"},
    "optuna": {"search"},
    "matplotlib": {"reporting"},
    "typer": {"cli"},
    "rich": {"cli", "reporting"},
}
HEAVY = ("ray", "torch", "optuna", "pyarrow", "matplotlib", "pandas", "scipy")
# A sweep in the reader's hand can be resumed, extended, confirmed: its methods call the door that made the sweep.
DEFERRED = {("sweeps", "api")}


class Import(NamedTuple):
    file: Path
    line: int
    module: str  # dotted, as far as it is known to be a module
    deferred: bool

    @property
    def place(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.module}"


def _is_for_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)


def _walk(node: ast.AST, deferred: bool = False) -> Iterator[tuple[ast.Import | ast.ImportFrom, bool]]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import | ast.ImportFrom):
            yield child, deferred
        elif not _is_for_checkers(child):
            yield from _walk(child, deferred or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda))


def imports_of(file: Path, source: str) -> Iterator[Import]:
    package = file.relative_to(ROOT).with_suffix("").parts[:-1]
    for node, deferred in _walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(file, node.lineno, alias.name, deferred)
            continue
        base = (
            ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])])
            if node.level
            else node.module or ""
        )
        for alias in node.names:
            inner = ROOT / base.replace(".", "/") / alias.name
            known = inner.is_dir() or inner.with_suffix(".py").exists()
            yield Import(file, node.lineno, f"{base}.{alias.name}" if known else base, deferred)


def part_of(module: str) -> str | None:
    """ "raybayes.store.lock" lies in "store"; "raybayes" itself, and everything else, in no part."""
    parts = module.split(".")
    return parts[1] if parts[0] == "raybayes" and len(parts) > 1 else None


def wrong(found: Import) -> str | None:
    """Why an import breaks a rule of the house."""
    here = found.file.relative_to(ROOT).with_suffix("").parts
    top = found.module.split(".")[0]
    if here[0] == "raybayes":
        mine, theirs = here[1], part_of(found.module)
        if top in ("trainables", "search_spaces"):
            return "the service knows no project"
        if mine == "__init__" and top != "raybayes" and top not in sys.stdlib_module_names:
            return "importing raybayes must load nothing else"
        if theirs is not None and LEVEL[theirs] > LEVEL.get(mine, 0):
            return None if found.deferred and (mine, theirs) in DEFERRED else f"{mine} stands below {theirs}"
        if top in OWNERS and mine not in OWNERS[top]:
            return f"only {' and '.join(sorted(OWNERS[top]))} may import {top}"
    elif here[0] == "trainables":
        if top in ("ray", "optuna", "search_spaces"):
            return f"a training function does not know {top}"
        if top == "raybayes" and part_of(found.module) not in ("contract", "data", "errors", "clock"):
            return "of raybayes a training function sees contract and data (and errors, clock below them)"
        if top == "trainables" and found.module.split(".")[1:2] != [here[1]]:
            return "projects do not import each other"
    elif top not in sys.stdlib_module_names and found.module != "raybayes.space":
        return "a search space imports raybayes.space only"
    return None


def test_every_part_has_a_level():
    parts = {
        file.relative_to(ROOT).with_suffix("").parts[1] for file in FILES if file.is_relative_to(ROOT / "raybayes")
    }
    assert parts - set(LEVEL) == {"__init__"}, "a new part of raybayes needs its place among the levels"


def test_imports_follow_the_arrows():
    problems = [
        f"{found.place}: {problem}"
        for file in FILES
        for found in imports_of(file, file.read_text(encoding="utf-8"))
        if (problem := wrong(found))
    ]
    assert problems == []


@pytest.mark.parametrize(
    ("file", "source", "words"),
    [
        ("raybayes/space.py", "from raybayes.store import layout", "space stands below store"),
        ("raybayes/search/x.py", "def f():\n    import raybayes.engine.run", "search stands below engine"),
        ("raybayes/reporting/x.py", "from raybayes.sweeps import results", "reporting stands below sweeps"),
        ("raybayes/sweeps/results.py", "from raybayes.cli import main", "sweeps stands below cli"),
        ("raybayes/store/x.py", "from ..engine import run", "store stands below engine"),
        ("raybayes/search/x.py", "import ray", "only engine and launch may import ray"),
        ("raybayes/api.py", "from optuna.study import Study", "only search may import optuna"),
        ("raybayes/__init__.py", "import torch", "must load nothing else"),
        ("raybayes/engine/x.py", "import trainables.ensembles", "knows no project"),
        ("trainables/ensembles/x.py", "from ray import train", "does not know ray"),
        ("trainables/ensembles/x.py", "from raybayes import catalog", "sees contract and data"),
        ("trainables/ensembles/x.py", "import trainables.flows.config", "do not import each other"),
        ("search_spaces/x.py", "import torch", "raybayes.space only"),
        ("search_spaces/x.py", "from raybayes import spec", "raybayes.space only"),
    ],
)
def test_a_wrong_arrow_is_seen(file, source, words):
    problems = [wrong(found) for found in imports_of(ROOT / file, source)]
    assert len(problems) == 1
    assert words in problems[0]


@pytest.mark.parametrize(
    ("file", "source"),
    [
        ("raybayes/sweeps/results.py", "def f():\n    from raybayes import api"),
        ("raybayes/space.py", "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import raybayes.api"),
        ("raybayes/engine/x.py", "import ray\nfrom raybayes import __version__, catalog"),
        (
            "trainables/ensembles/x.py",
            "import torch\nfrom trainables.ensembles.config import Config\nfrom raybayes.contract import Metric",
        ),
        ("search_spaces/x.py", "from raybayes.space import Space"),
    ],
)
def test_a_right_arrow_is_let_through(file, source):
    assert [wrong(found) for found in imports_of(ROOT / file, source)].count(None) == len(
        list(imports_of(ROOT / file, source))
    )


_LIGHT = {
    "raybayes": "import raybayes",
    "raybayes.cli.main": "import raybayes.cli.main",
    "raybayes.spec": "import raybayes.spec",
    "raybayes.space": "import raybayes.space",
    "raybayes.catalog": "import raybayes.catalog; raybayes.catalog.project_names()",
    "spaces": "import raybayes.catalog; [raybayes.catalog.load_spaces('ensembles')]",
    "the desk": "import raybayes.engine.on_ray.controller_actor as actor\n"
    "actor.keep_pandas_out(); actor.pa.Table.from_pylist([{'a': 1}])",
    "--help": "from raybayes.cli.main import main; main(['--help'])",
    "sweep --help": "from raybayes.cli.main import main; main(['sweep', '--help'])",
}


_NEEDED = {"the desk": {"ray", "optuna", "pyarrow"}}


@pytest.mark.parametrize("what", sorted(_LIGHT))
def test_a_cold_start_loads_no_heavy_library(what):
    program = f"import sys, json\n{_LIGHT[what]}\nprint('\\n' + json.dumps([m for m in {HEAVY!r} if m in sys.modules]))"
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stderr
    assert set(json.loads(ran.stdout.splitlines()[-1])) == _NEEDED.get(what, set())
