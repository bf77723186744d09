"""A sampler or scheduler with its options, as users write it: `asha:eta=4,grace_period=2`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from raybayes.errors import SpecError
from raybayes.spec.validation import Frozen, build
from raybayes.spec.yaml_files import parse_settings


class Component(Frozen):
    """A named part with options: written `tpe`, or `asha:eta=4,grace_period=2`."""

    name: str
    options: dict[str, Any] = Field(default_factory=dict)

    @classmethod
    def parse(cls, text: str | Mapping[str, Any] | Component) -> Component:
        """From `name:key=value,key=value`, a mapping, or itself."""
        if isinstance(text, Component):
            return text
        if isinstance(text, Mapping):
            return build(cls, text, "sampler or scheduler")
        name, _, tail = str(text).partition(":")
        pairs = [pair for pair in tail.split(",") if pair.strip()]
        for pair in pairs:
            if "=" not in pair:
                raise SpecError(f"{text}: option {pair!r} has no '='; write name:option=value, for example asha:eta=4.")
        return cls(name=name.strip(), options=parse_settings(pairs))

    def __str__(self) -> str:
        pairs = (f"{key}={'null' if value is None else value}" for key, value in self.options.items())
        return self.name + (":" + ",".join(pairs) if self.options else "")
