"""A function beside the main thread: it is waited for, and what it raises is raised here."""

import threading

import pytest

from raybayes.engine.background import Background


def test_it_is_waited_for_in_pieces():
    gate = threading.Event()
    work = Background(lambda: gate.wait(30) and None)
    assert not work.wait(0.01)
    gate.set()
    assert work.wait(30)
    work.raise_failure()


def test_what_it_raises_is_raised_here():
    def fail():
        raise KeyError("no")

    work = Background(fail)
    assert work.wait(30)
    with pytest.raises(KeyError, match="no"):
        work.raise_failure()
