"""The maps of the code are true: each file that they name exists, and has what they say it has."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent.parent
MAPS = ("docs/architecture.md", "docs/glossary.md", "docs/environment-variables.md", "CONTRIBUTING.md", "README.md")
FOLDERS = ("raybayes", "trainables", "search_spaces", "cluster", "docs", "tests", "benchmarks")
PATH = re.compile(rf"`((?:{'|'.join(FOLDERS)})/[\w./-]*)`")
TREE = re.compile(r"^```text\n(.*?)^```", re.MULTILINE | re.DOTALL)
QUESTION = re.compile(r"^\| ([^|]*\?) \| `([^`]*)` \| `([^`]*)` \|$", re.MULTILINE)
WORD = re.compile(r"^\| ([^|]*) \| [^|]* \| (?:`[^`]*`)", re.MULTILINE)


def text_of(page: str) -> str:
    return (ROOT / page).read_text()


def in_tree(text: str) -> list[str]:
    """The paths of an annotated tree: four spaces per level; three spaces end the names of a line."""
    found, folders = [], [""]
    for line in text.splitlines():
        level = (len(line) - len(line.lstrip())) // 4
        names = re.split(r"\s{3,}", line.strip())[0]
        found += [folders[level] + name for name in names.split()]
        if names.endswith("/"):
            folders[level + 1 :] = [folders[level] + names]
    return found


class TestMaps:
    @pytest.mark.parametrize("page", MAPS)
    def test_named_files_exist(self, page):
        text = text_of(page)
        paths = PATH.findall(text) + [path for tree in TREE.findall(text) for path in in_tree(tree)]
        assert [path for path in paths if not (ROOT / path).exists()] == []

    def test_engine_tour_names_files_that_exist(self):
        folder, row_of = ROOT / "raybayes" / "engine", ""
        named = []
        for line in (folder / "README.md").read_text().splitlines():
            if line.startswith("|"):  # a table by folder: an empty first cell repeats the one above
                first = line.split("|")[1].strip().strip("`")
                row_of = {"": row_of, "(here)": ""}.get(first, first)
            named += [(row_of if line.startswith("|") else "") + path for path in re.findall(r"`([\w/]+\.py)`", line)]
        assert len(named) > 30
        assert [path for path in named if not (folder / path).exists()] == []


class TestTwelveQuestions:
    @pytest.mark.parametrize(
        ("file", "symbol"), [(file, symbol) for _, file, symbol in QUESTION.findall(text_of("docs/architecture.md"))]
    )
    def test_file_defines_the_answer(self, file, symbol):
        assert re.search(rf"^\s*(def|class) {symbol}\b", text_of(file), re.MULTILINE)

    def test_there_are_twelve(self):
        assert len({question for question, _, _ in QUESTION.findall(text_of("docs/architecture.md"))}) == 12


class TestGlossary:
    def test_defines_each_word_once(self):
        words = [word for row in WORD.findall(text_of("docs/glossary.md")) for word in row.split(", ")]
        assert len(words) > 50
        assert sorted({word for word in words if words.count(word) > 1}) == []


class TestInTree:
    def test_reads_nested_folders(self):
        text = "raybayes/        the service\n    api.py  a.py     the door\n    engine/\n        run.py\ntests/"
        nested = ["raybayes/", "raybayes/api.py", "raybayes/a.py", "raybayes/engine/", "raybayes/engine/run.py"]
        assert in_tree(text) == [*nested, "tests/"]
