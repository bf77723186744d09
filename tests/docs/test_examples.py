"""Every example of the docs runs: Python blocks, console blocks, and files that a page tells its reader to write."""

import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from raybayes.cli.main import main

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *(page for page in sorted((ROOT / "docs").rglob("*.md")) if page.name != "data.md")]
BLOCK = re.compile(r"^```(python|console)\n(.*?)^```", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_examples(page, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for kind, body in BLOCK.findall(page.read_text()):
        if kind == "console":
            for line in body.splitlines():
                if line.startswith("$ raybayes "):
                    assert main(shlex.split(line.removeprefix("$ raybayes "))) == 0, line + capsys.readouterr().err
                elif line.startswith("$ pytest "):
                    command = [sys.executable, "-m", *shlex.split(line.removeprefix("$ "))]
                    ran = subprocess.run(command, capture_output=True, text=True, check=False)
                    assert ran.returncode == 0, line + ran.stdout
        elif match := re.match(r"# file: (\S+)\n", body):
            path = tmp_path / match[1]
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(body)
        else:
            exec(compile(body, str(page), "exec"), {"__name__": "example"})


def test_links_between_pages_lead_somewhere():
    for page in PAGES:
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text()):
            assert (page.parent / target).exists(), f"{page.name} links to {target}"
