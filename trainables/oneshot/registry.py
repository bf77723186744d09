"""A registry must have an entry for every name that the configuration accepts, and no other."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, get_args


def require_same_names(field: str, allowed: Any, registry: Collection[str]) -> None:
    """Compare a registry with the `Literal` of its field; every registry calls this when it is imported.

    Args:
        field: the field's name in the configuration.
        allowed: a `Literal` of names.
        registry: the names that are implemented.

    Raises:
        RuntimeError: the two differ; names the entries to add or to remove.
    """
    names = get_args(allowed)
    missing = ", ".join(name for name in names if name not in registry)
    surplus = ", ".join(name for name in registry if name not in names)
    if missing or surplus:
        raise RuntimeError(
            f"the field {field} and its registry differ: not registered: {missing or 'none'}; not in the Literal of the"
            f" field: {surplus or 'none'}; add them in both places."
        )
