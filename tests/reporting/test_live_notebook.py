"""Progress below a notebook's cell, with IPython's own publisher of displays."""

import pytest

from raybayes.reporting.live_notebook import NotebookView
from raybayes.reporting.watching import in_notebook, watching
from raybayes.search.progress import Ended, Progress, Running

IPython = pytest.importorskip("IPython", reason="needs IPython")


@pytest.fixture
def cell(monkeypatch):
    """A shell as a notebook's kernel has it; gives what its displays have published."""
    from IPython.core.displaypub import CapturingDisplayPublisher
    from IPython.core.interactiveshell import InteractiveShell

    shell = InteractiveShell.instance()
    shell.kernel = object()
    monkeypatch.setattr(shell, "display_pub", CapturingDisplayPublisher())
    monkeypatch.setattr(InteractiveShell, "initialized", classmethod(lambda kind: True))
    monkeypatch.setattr(IPython, "get_ipython", lambda: shell)
    yield shell.display_pub.outputs
    InteractiveShell.clear_instance()


def test_one_output_is_updated_in_place(cell):
    assert in_notebook()
    running = (Running(1, 0, 2, 0.25),)
    with watching(True, "fit <1>") as watch:
        watch(Progress(3, stage="starting Ray"))
        watch(Progress(3, {"COMPLETE": 1}, running, (0, 0.5), (Ended(0, "COMPLETE", 0.5, None),)))
    pages = [output["data"]["text/html"] for output in cell]
    names = {output["transient"]["display_id"] for output in cell}
    assert len(names) == 1
    assert [output["update"] for output in cell] == [False] + [True] * (len(cell) - 1)
    assert "fit &lt;1&gt;: starting, 0 s" in pages[0]
    assert "starting Ray, 0 s" in pages[1]
    assert "1 of 3 trials; best 0.5 (n = 1) in trial 0" in pages[-1]
    assert "<td>1</td><td>running</td><td>2</td><td>0.25</td>" in pages[-1]


def test_an_error_shows_its_first_line():
    view = NotebookView("s")
    view._progress = Progress(1, {"FAIL": 1}, ended=(Ended(0, "FAIL", None, "ValueError: <x>\nat line 3"),))
    assert "<td>ValueError: &lt;x&gt;</td>" in view.render()


def test_a_script_is_no_notebook():
    assert not in_notebook()
