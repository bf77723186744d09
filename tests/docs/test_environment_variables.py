"""docs/environment-variables.md lists exactly the variables that the code reads."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
PAGE = ROOT / "docs" / "environment-variables.md"
OURS = re.compile(r"RAYBAYES_[A-Z_]+")


def constants(tree: ast.Module) -> dict[str, str]:
    """The module's own names for strings: `VARIABLE = "RAYBAYES_DATA"`."""
    return {
        target.id: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        for target in node.targets
        if isinstance(target, ast.Name)
    }


def is_environment(node: ast.expr) -> bool:
    return ast.unparse(node) == "os.environ"


def keys(node: ast.AST) -> Iterator[ast.expr]:
    """What a node asks of the environment: os.environ.get(KEY), os.environ[KEY], os.getenv(KEY), KEY in os.environ."""
    if isinstance(node, ast.Call) and node.args and isinstance(node.func, ast.Attribute):
        if ast.unparse(node.func) in {"os.getenv", "os.environ.get"}:
            yield node.args[0]
    elif isinstance(node, ast.Subscript) and isinstance(node.ctx, ast.Load) and is_environment(node.value):
        yield node.slice
    elif isinstance(node, ast.Compare) and any(is_environment(other) for other in node.comparators):
        yield node.left


def read_by(source: str) -> set[str]:
    """The variables that a module reads, and each of raybayes' own that it names, in whatever way."""
    tree = ast.parse(source)
    known = constants(tree)
    found = set()
    for node in ast.walk(tree):
        for key in keys(node):
            if isinstance(key, ast.Constant):
                found.add(key.value)
            elif isinstance(key, ast.Name) and key.id in known:
                found.add(known[key.id])
            elif isinstance(key, ast.Name):  # a loop or a comprehension over names that stand beside it
                found |= names_given_to(key.id, tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and OURS.fullmatch(node.value):
            found.add(node.value)
    return found


def names_given_to(variable: str, tree: ast.Module) -> set[str]:
    loops = [n for n in ast.walk(tree) if isinstance(n, ast.For | ast.comprehension)]
    tuples = [n.iter for n in loops if ast.unparse(n.target) == variable and isinstance(n.iter, ast.Tuple)]
    return {e.value for literal in tuples for e in literal.elts if isinstance(e, ast.Constant)}


def listed() -> set[str]:
    return set(re.findall(r"^\| `([A-Z_]+)` \|", PAGE.read_text(), re.MULTILINE))


class TestThePage:
    def test_lists_what_the_code_reads(self):
        files = [file for folder in ("raybayes", "trainables") for file in (ROOT / folder).rglob("*.py")]
        assert set().union(*(read_by(file.read_text()) for file in files)) == listed()

    def test_names_each_variable_once(self):
        rows = re.findall(r"^\| `([A-Z_]+)` \|", PAGE.read_text(), re.MULTILINE)
        assert len(rows) == len(set(rows))


class TestReadBy:
    def test_finds_every_way_to_ask(self):
        source = """
import os
NAMED = "RAYBAYES_NAMED"
os.environ.get("A"), os.environ["B"], os.getenv("C"), "D" in os.environ, os.environ.get(NAMED)
job, hosts = (os.environ.get(name, "?") for name in ("E", "F"))
"""
        assert read_by(source) == {"A", "B", "C", "D", "E", "F", "RAYBAYES_NAMED"}

    def test_what_is_only_set_does_not_count(self):
        assert read_by('import os\nos.environ["A"] = "1"\nos.environ.pop("B", None)') == set()
