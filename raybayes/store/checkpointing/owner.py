"""Whose a checkpoint is: the run that wrote it stands in its manifest, so that no other run resumes from it."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Owner:
    """The run that a checkpoint belongs to, beside its trial and repeat.

    Args:
        config: values that differ from the project's defaults, by dotted names.
        seed: of the sweep.
    """

    config: Mapping[str, Any]
    seed: int

    @property
    def digest(self) -> str:
        """16 hex digits that differ between configurations and seeds; 1 and 1.0 are the same value."""
        values = {name: _plain(value) for name, value in self.config.items()}
        text = json.dumps([values, self.seed], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    @property
    def described(self) -> dict[str, Any]:
        """The configuration as a manifest holds it."""
        described: dict[str, Any] = json.loads(json.dumps(dict(self.config), default=str))
        return described


def _plain(value: Any) -> Any:
    """What stays the same when a value is written to YAML or JSON and read back."""
    if isinstance(value, Mapping):
        return {str(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(inner) for inner in (sorted(value, key=str) if isinstance(value, set | frozenset) else value)]
    if isinstance(value, bool) or value is None:
        return value
    return repr(float(value)) if isinstance(value, int | float) else str(value)
