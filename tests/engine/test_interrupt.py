"""What asks a burst to end: the first signal, the wall time; a second SIGINT ends it at once."""

import os
import signal
import threading

import pytest

from raybayes.clock import WALL
from raybayes.engine.interrupt import Interrupt


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGUSR1])
def test_a_signal_asks_and_the_handlers_come_back(number):
    before, requests = signal.getsignal(number), []
    interrupt = Interrupt(on_request=lambda: requests.append(number))
    with interrupt.listening():
        assert not interrupt.asked.is_set()
        os.kill(os.getpid(), number)
        assert interrupt.asked.wait(10)
    assert (interrupt.signal, requests) == (number, [number])
    assert signal.getsignal(number) is before


def test_the_first_signal_is_kept_and_a_second_ctrl_c_ends_at_once():
    interrupt = Interrupt()
    with interrupt.listening():
        os.kill(os.getpid(), signal.SIGUSR1)
        assert interrupt.asked.wait(10)
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert interrupt.signal == signal.SIGUSR1


def test_the_wall_time_is_like_an_alarm():
    interrupt = Interrupt(until=WALL.elapsed() + 0.05)
    with interrupt.listening():
        assert interrupt.asked.wait(10)
    assert interrupt.signal == signal.SIGALRM


def test_outside_the_main_thread_only_the_wall_time_counts():
    before, found = signal.getsignal(signal.SIGTERM), []

    def listen():
        interrupt = Interrupt(until=WALL.elapsed())
        with interrupt.listening():
            found.append((interrupt.asked.wait(10), signal.getsignal(signal.SIGTERM) is before))

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join(20)
    assert found == [(True, True)]
