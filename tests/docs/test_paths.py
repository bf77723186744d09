"""Each file that a map of the code names exists: the pages are read by people who go and look."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
MAPS = ("docs/architecture.md", "docs/glossary.md", "docs/environment-variables.md", "CONTRIBUTING.md", "README.md")
FOLDERS = ("raybayes", "trainables", "search_spaces", "cluster", "docs", "tests", "benchmarks")
PATH = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]*)`")
TREE = re.compile(r"^```(?:text|tree)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def named_in(text: str) -> list[str]:
    """The paths that stand in code spans; those with placeholders (`<name>`) are not matched."""
    return PATH.findall(text)


def of_tree(text: str) -> list[str]:
    """The paths of an annotated tree: four spaces per level; names end at the first three spaces."""
    found, folders = [], [""]
    for line in text.splitlines():
        level = (len(line) - len(line.lstrip())) // 4
        names = re.split(r"\s{3,}", line.strip())[0]
        for name in names.split():
            found.append(folders[level] + name)
        if names.endswith("/"):
            folders[level + 1 :] = [folders[level] + names]
    return found


@pytest.mark.parametrize("page", MAPS)
def test_named_files_exist(page):
    text = (ROOT / page).read_text()
    paths = named_in(text) + [path for tree in TREE.findall(text) for path in of_tree(tree)]
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_engine_tour_names_files_that_exist():
    folder = ROOT / "raybayes" / "engine"
    named = re.findall(r"`([\w/]+\.py)`", (folder / "README.md").read_text())
    assert named
    assert [path for path in named if not ((folder / path).exists() or (ROOT / path).exists())] == []


def test_tree_reads_as_nested_folders():
    text = "raybayes/        the service\n    api.py  the door\n    engine/\n        run.py\ntests/"
    assert of_tree(text) == ["raybayes/", "raybayes/api.py", "raybayes/engine/", "raybayes/engine/run.py", "tests/"]
