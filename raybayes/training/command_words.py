"""The words of a command that a sweep trains: `{name}` in place of values, patterns of its metrics."""

from __future__ import annotations

import re
import shutil
import string
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from raybayes.errors import SpecError
from raybayes.space import Choice, Space


@dataclass(frozen=True)
class Template:
    """A command with `{name}` in place of values, and `{name:--flag}` for a flag that is there or not.

    Args:
        words: the command, word by word.
    """

    words: tuple[str, ...]

    def names(self) -> list[str]:
        """The names in the command, in order, each once."""
        return list(dict.fromkeys(name for word in self.words for _, name, _ in _parts(word) if name))

    def fill(self, values: Mapping[str, Any]) -> list[str]:
        """The command for a configuration. A word whose only parameter is inactive is left out with its option."""
        filled: list[str] = []
        for word in self.words:
            parts = list(_parts(word))
            names = [name for _, name, _ in parts if name]
            if names and all(values.get(name) is None for name in names):
                if filled and filled[-1].startswith("-") and word == "{" + names[0] + "}":
                    filled.pop()  # `--rank {swag.rank}` of a parameter that is not there
                continue
            text = "".join(before + (_text(values[name], flag) if name else "") for before, name, flag in parts)
            if text or not names:
                filled.append(text)
        return filled


def _parts(word: str) -> Iterator[tuple[str, str | None, str]]:
    try:
        yield from ((before, name, flag or "") for before, name, flag, _ in string.Formatter().parse(word))
    except ValueError as error:
        raise SpecError(f"command: {word!r}: {error}; write {{name}}, or {{{{ and }}}} for braces.") from None


def _text(value: Any, flag: str) -> str:
    if flag:
        return flag if value else ""
    if isinstance(value, list | tuple):
        return ",".join(_text(one, "") for one in value)
    return repr(value) if isinstance(value, float) else str(value)


def require_names(template: Template, space: Space, constants: Mapping[str, Any]) -> None:
    """SpecError unless each parameter stands in the command, and each `{name}` is a parameter."""
    known, used = [*space, *constants], template.names()
    if unknown := [name for name in used if name not in known]:
        raise SpecError(
            f"command: {{{unknown[0]}}} has no parameter; add --param {unknown[0]}=RANGE or -s {unknown[0]}=VALUE, "
            f"or write {{{{{unknown[0]}}}}} for the braces themselves."
        )
    if problem := _flag_problem(template, space):
        raise SpecError(f"command: {problem}.")
    if idle := [name for name in space if name not in used]:
        raise SpecError(
            f"parameter {idle[0]}: the command has no {{{idle[0]}}}, so no trial would see it; "
            f"add it, for example --{idle[0]} {{{idle[0]}}}."
        )


def require_program(words: Sequence[str]) -> None:
    """SpecError unless the command's program exists."""
    if not words:
        raise SpecError("command: found none; write it after --, for example: -- python train.py --lr {lr}")
    if shutil.which(words[0]) is None:
        raise SpecError(f"command: there is no program {words[0]!r} here; give its path, or activate its environment.")
    script = next((word for word in words[1:] if not word.startswith("-")), "")
    if Path(words[0]).name.startswith("python") and script.endswith(".py") and not Path(script).exists():
        raise SpecError(f"command: {script} does not exist in {Path.cwd()}; give the path of the script.")


def patterns_of(texts: Sequence[str]) -> dict[str, re.Pattern[str]]:
    """`val_loss=([0-9.e+-]+)` as a pattern by metric. SpecError for a text that is no pattern with a group."""
    found = {}
    for text in texts:
        name, equals, pattern = text.partition("=")
        try:
            compiled = re.compile(pattern)
        except re.error as error:
            raise SpecError(f"metric {text!r}: {error}; write NAME=PATTERN, for example 'loss=loss: (\\S+)'.") from None
        if not equals or compiled.groups != 1:
            raise SpecError(
                f"metric {text!r}: found {compiled.groups} groups; write NAME=PATTERN with one group for the number, "
                f"for example 'val_loss=val_loss: ([0-9.e+-]+)'."
            )
        found[name.strip()] = compiled
    return found


def _flag_problem(template: Template, space: Space) -> str | None:
    """Why a flag `{name:--flag}` cannot work: its parameter must be true or false."""
    for word in template.words:
        for _, name, flag in _parts(word):
            if name and flag and name in space:
                parameter = space[name]
                if not isinstance(parameter, Choice) or set(map(bool, parameter.values)) != {True, False}:
                    return f"{{{name}:{flag}}}: {name} must be true|false"
    return None
