"""Parameters as a command line writes them."""

import pytest

from raybayes.errors import SpecError
from raybayes.space import Choice, Float, Int
from raybayes.training.parameters import parse_parameter, parse_parameters


@pytest.mark.parametrize(
    ("text", "name", "parameter"),
    [
        ("lr=log:1e-4..1", "lr", Float(1e-4, 1, log=True)),
        ("lr=0.001..1", "lr", Float(0.001, 1)),
        ("lr=.5..1.5", "lr", Float(0.5, 1.5)),
        ("shift=-1.5..-0.5", "shift", Float(-1.5, -0.5)),
        ("rate=0..1/0.25", "rate", Float(0, 1, step=0.25)),
        ("width=int:16..256", "width", Int(16, 256)),
        ("width=int:log:16..256", "width", Int(16, 256, log=True)),
        ("width=log:int:16..256", "width", Int(16, 256, log=True)),
        ("width=int:16..256/16", "width", Int(16, 256, step=16)),
        ("optimizer=sgd|adam", "optimizer", Choice("sgd", "adam")),
        ("nesterov=true|false", "nesterov", Choice(True, False)),
        ("batch=32|64", "batch", Choice(32, 64)),
        ("decay=null|1e-4", "decay", Choice(None, 1e-4)),
        ("sgd.momentum=0..0.99 if optimizer=sgd", "sgd.momentum", Float(0, 0.99, when={"optimizer": "sgd"})),
    ],
)
def test_a_declaration_parses(text, name, parameter):
    assert parse_parameter(text) == (name, parameter)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("lr", "write NAME=RANGE"),
        ("lr=", "write NAME=RANGE"),
        ("lr=0.1", "no range and no list of values"),
        ("lr=a..b", "the ends must be numbers"),
        ("width=int:1.5..3", "the ends must be integers"),
        ("m=0..1 if optimizer", "write the condition"),
    ],
)
def test_what_does_not_parse_is_answered_with_examples(text, words):
    with pytest.raises(SpecError, match=words) as error:
        parse_parameters([text])
    assert "lr=log:1e-4..1" in str(error.value) or "NAME=VALUE" in str(error.value)


def test_a_parameter_is_declared_once():
    with pytest.raises(SpecError, match="lr: found twice"):
        parse_parameters(["lr=0..1", "lr=0..2"])
