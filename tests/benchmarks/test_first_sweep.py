"""What has to be written to search a script: counted from the files, as the docs say it."""

import re
from pathlib import Path

import pytest

from benchmarks.first_sweep.__main__ import HERE, WAYS, code_lines, edits

PAGE = Path(__file__).parent.parent.parent / "docs" / "your-own-training.md"


def test_a_changed_line_is_added_and_removed(tmp_path):
    plain, searched = tmp_path / "a.py", tmp_path / "b.py"
    plain.write_text('"""Plain."""\n\nx = 1\ny = 2\n')
    searched.write_text('"""Searched."""\nx = 1\n\ny = 3\nz = 4\n')
    assert code_lines(plain) == ["x = 1", "y = 2"]
    assert edits(plain, searched) == (2, 1)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.side)
def test_the_page_says_what_is_counted(way):
    row = next(line for line in PAGE.read_text().splitlines() if line.startswith(f"| {way.side}"))
    assert tuple(map(int, re.findall(r"\d+", row))) == edits(HERE / way.plain, HERE / way.searched)
