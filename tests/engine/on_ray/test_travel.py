"""What keeps a function from being sent to other processes is named."""

import functools
import threading

import pytest

from raybayes.engine.on_ray.travel import require_travels
from raybayes.errors import SpecError
from raybayes.space import Float, Space
from raybayes.training.own import OwnTraining

LOCK = threading.Lock()


def own(function):
    return OwnTraining("function", Space({"lr": Float(0, 1)}), {"loss": "minimize"}, function=function)


def closure():
    guard = threading.Lock()
    return lambda config: guard and config["lr"]


def deeper():
    inner = closure()
    return lambda config: inner(config)


class Trainer:
    def __init__(self):
        self.handle = threading.Lock()

    def train(self, config):
        return config["lr"]


def with_default(config, guard=LOCK):
    return config["lr"]


with_default.__module__ = "__main__"  # as a script's: it travels by value


@pytest.mark.parametrize(
    ("function", "name"),
    [(closure(), "guard"), (deeper(), "guard"), (Trainer().train, "handle"),
     (functools.partial(lambda config, scale: 1.0, scale=LOCK), "scale"), (with_default, "guard")],
)  # fmt: skip
def test_the_object_is_named(function, name):
    with pytest.raises(SpecError, match=rf"because {name} \(lock\) does not pickle: .*; make {name} inside"):
        require_travels(own(function))


def test_what_travels_is_not_refused():
    scale = 2.0
    require_travels(own(lambda config: config["lr"] * scale))
