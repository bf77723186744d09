"""docs/site/repository_links.py: what a page of the built site links to."""

import importlib.util
from pathlib import Path

HOOK = Path(__file__).parent.parent.parent / "docs" / "site" / "repository_links.py"
SPEC = importlib.util.spec_from_file_location("repository_links", HOOK)
hook = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(hook)


class TestLinked:
    def test_link_out_of_docs_leads_to_the_repository(self):
        assert hook.linked("[a](../cluster/local.yaml)", "docs", "SRC") == "[a](SRC/cluster/local.yaml)"
        assert hook.linked("[a](../../README.md)", "docs/projects", "SRC") == "[a](SRC/README.md)"

    def test_link_inside_docs_stays(self):
        text = "[a](../data.md#names) [b](speed.md) [c](https://optuna.org)"
        assert hook.linked(text, "docs/projects", "SRC") == text


class TestLinkedPaths:
    def test_path_of_a_file_becomes_a_link(self):
        found = hook.linked_paths("see `raybayes/seeds.py`.", "SRC")
        assert found == 'see <a href="SRC/raybayes/seeds.py"><code>raybayes/<wbr>seeds.py</code></a>.'

    def test_other_code_stays(self):
        text = "`raybayes/absent.py` and `raybayes sweep` and [`raybayes/seeds.py`](x)"
        assert hook.linked_paths(text, "SRC") == text


class TestOnPageMarkdown:
    def test_fenced_blocks_stay(self):
        class Page:
            class file:  # noqa: N801 - mkdocs' own name
                src_uri = "speed.md"

        class Config:
            repo_url = "R"

        text = "```text\n`raybayes/seeds.py`\n```\n[a](../README.md)\n"
        found = hook.on_page_markdown(text, Page, Config)
        assert found == "```text\n`raybayes/seeds.py`\n```\n[a](R/blob/main/README.md)\n"
