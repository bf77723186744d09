"""Where the progress of a call from Python is shown: below the cell of a notebook, on the terminal, or nowhere."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from raybayes.errors import SpecError
from raybayes.search.progress import Progress, Watch

if TYPE_CHECKING:
    from raybayes.reporting.live_notebook import NotebookView
    from raybayes.reporting.terminal.live import ProgressView


def silent(progress: Progress) -> None:
    """Show nothing."""


def in_notebook() -> bool:
    """Whether this code runs in a cell whose output can be updated: Jupyter, Colab, an editor's notebook."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and hasattr(shell, "kernel")


@contextlib.contextmanager
def watching(watch: Watch | bool, title: str) -> Iterator[Watch]:
    """What gets the progress of a burst.

    Args:
        watch: True shows it where the caller is, False nowhere; a function gets it itself.
        title: what is run.

    Raises:
        SpecError: `watch` is something else.
    """
    if callable(watch):
        yield watch
    elif watch is False:
        yield silent
    elif watch is not True:
        raise SpecError(f"watch: found {watch!r}; give True, False, or a function that gets the progress.")
    else:
        with _view(title) as view:
            yield view.show


def _view(title: str) -> NotebookView | ProgressView:
    if in_notebook():
        from raybayes.reporting.live_notebook import NotebookView

        return NotebookView(title)
    from raybayes.reporting.terminal.live import ProgressView

    return ProgressView(title, quiet=False)
