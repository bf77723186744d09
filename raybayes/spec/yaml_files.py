"""YAML as users write it: files with the line of every key, and name=value settings."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from raybayes.errors import SpecError


class _Loader(yaml.SafeLoader):
    """YAML with the numbers of its version 1.2: 1e-3 is a number, and not a text as in 1.1."""


# In YAML 1.1 the wall time 12:00:00 is the number 43200; in 1.2 it is a text.
_Loader.yaml_implicit_resolvers = {
    first: [(tag, rule) for tag, rule in rules if tag != "tag:yaml.org,2002:int"]
    for first, rules in _Loader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int", re.compile(r"^(?:[-+]?[0-9][0-9_]*|0x[0-9a-fA-F_]+|0b[01_]+)$"), [*"-+0123456789"]
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?([0-9]+(\.[0-9]*)?|\.[0-9]+)[eE][-+]?[0-9]+$"),
    [*"-+.0123456789"],
)


def parse_settings(pairs: Iterable[str]) -> dict[str, Any]:
    """`["lr=1e-3", "method=sse"]` as {"lr": 0.001, "method": "sse"}; values are read as YAML.

    Raises:
        SpecError: a pair has no "=", or a value does not parse.
    """
    settings: dict[str, Any] = {}
    for pair in pairs:
        name, equals, text = pair.partition("=")
        if not equals or not name.strip():
            raise SpecError(f"setting {pair!r} has no '='; write name=value, for example -s lr=0.1.")
        try:
            settings[name.strip()] = yaml.load(text, _Loader)
        except yaml.YAMLError:
            raise SpecError(f"setting {name.strip()}: {text!r} is not valid YAML; quote it.") from None
    return settings


def read_yaml(path: str) -> tuple[dict[str, Any], dict[str, int]]:
    """A YAML file as (values, line of each dotted key). Raises SpecError with line and column if it does not parse."""
    try:
        text = Path(path).read_text(encoding="utf-8")
        values = yaml.load(text, _Loader)
        tree = yaml.compose(text, _Loader)
    except OSError as error:
        raise SpecError(f"{path}: cannot be read ({error.strerror}); check the path.") from None
    except UnicodeDecodeError:
        raise SpecError(f"{path}: not UTF-8 text; give a YAML file.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else path
        raise SpecError(f"{place}: not valid YAML: {getattr(error, 'problem', None) or error}.") from None
    if not isinstance(values, dict):
        found = "nothing" if values is None else type(values).__name__
        raise SpecError(f"{path}: found {found}; the file must be a table of key: value lines.")
    lines: dict[str, int] = {}
    for name, line in _key_lines(tree, ""):
        if name in lines:
            raise SpecError(f"{path}:{line}: {name} is already set in line {lines[name]}; keep one of them.")
        lines[name] = line
    return values, lines


def _key_lines(node: Any, prefix: str) -> Iterator[tuple[str, int]]:
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            yield f"{prefix}{key.value}", key.start_mark.line + 1
            yield from _key_lines(value, f"{prefix}{key.value}.")
