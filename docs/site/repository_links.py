"""Lead readers of the built site from a page to the files that it names.

In the repository the pages' relative links work as they are. The site has only docs/: links that leave it are led to
the repository, and a path in a code span, such as `raybayes/seeds.py`, becomes a link to its file.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent.parent
LINK = re.compile(r"(\]\()(\.\.?/[^)#\s]+)")
FENCED = re.compile(r"(^```.*?^```)", re.MULTILINE | re.DOTALL)
PATH = re.compile(r"(?<!\[)`((?:raybayes|trainables|search_spaces|cluster|tests|benchmarks)/[\w./-]*)`")


def on_page_markdown(markdown: str, page: Any, config: Any, **_: Any) -> str:
    """Called by mkdocs for each page, before its Markdown becomes HTML."""
    source = f"{config.repo_url}/blob/main"
    folder = posixpath.join("docs", posixpath.dirname(page.file.src_uri))
    parts = FENCED.split(markdown)
    return "".join(
        part if i % 2 else linked_paths(linked(part, folder, source), source) for i, part in enumerate(parts)
    )


def linked(text: str, folder: str, source: str) -> str:
    """The text with links out of docs/ led to the repository."""

    def absolute(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, match[2]))
        return match[0] if path.startswith("docs/") else f"{match[1]}{source}/{path}"

    return LINK.sub(absolute, text)


def linked_paths(text: str, source: str) -> str:
    """The text with paths of existing files as links, which may break after a slash."""

    def link(match: re.Match[str]) -> str:
        path = match[1]
        broken = path.replace("/", "/<wbr>")
        return f'<a href="{source}/{path}"><code>{broken}</code></a>' if (ROOT / path).exists() else match[0]

    return PATH.sub(link, text)
