"""A sampler or scheduler with its options, as users write it: `asha:eta=4,grace_period=2`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from pydantic import Field, PrivateAttr

from raybayes.errors import SpecError
from raybayes.spec.validation import Frozen, build
from raybayes.spec.yaml_files import parse_settings

GIVEN = "given_in_python"  # the option of a part that nothing but its object says what it is


class Component(Frozen):
    """A named part with options: written `tpe`, or `asha:eta=4,grace_period=2`; or an object, in Python.

    Of an object sweep.yaml keeps the import path of its class, and the fields of a dataclass as options. Of any other
    object it only keeps that there was one (`GIVEN`), and a later burst is given it again.
    """

    name: str
    options: dict[str, Any] = Field(default_factory=dict)
    _object: Any = PrivateAttr(None)

    @property
    def object(self) -> Any:
        """The part itself, if it was given as an object in this process; else None."""
        return self._object

    @classmethod
    def parse(cls, text: Any) -> Component:
        """From `name:key=value,key=value`, a mapping, itself, or an object that is a sampler or scheduler."""
        if isinstance(text, Component):
            return text
        if isinstance(text, Mapping):
            return build(cls, text, "sampler or scheduler")
        if not isinstance(text, str):
            return cls._of(text)
        name, _, tail = str(text).partition(":")
        pairs = [pair for pair in tail.split(",") if pair.strip()]
        for pair in pairs:
            if "=" not in pair:
                raise SpecError(f"{text}: option {pair!r} has no '='; write name:option=value, for example asha:eta=4.")
        return cls(name=name.strip(), options=parse_settings(pairs))

    @classmethod
    def _of(cls, part: Any) -> Component:
        kind = type(part)
        whole = dataclasses.is_dataclass(part) and not isinstance(part, type)
        fields = dataclasses.asdict(part) if whole else {GIVEN: True}
        plain = all(isinstance(value, str | int | float | bool | None) for value in fields.values())
        made = cls(name=f"{kind.__module__}.{kind.__qualname__}", options=fields if plain else {GIVEN: True})
        made._object = part
        return made

    def __str__(self) -> str:
        pairs = (f"{key}={'null' if value is None else value}" for key, value in self.options.items())
        return self.name + (":" + ",".join(pairs) if self.options else "")
