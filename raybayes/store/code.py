"""Which code each burst ran with: bursts/<n>.yaml."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import yaml

from raybayes.errors import StoreError
from raybayes.store.layout import Layout


def write_stamp(layout: Layout, burst: int, stamp: Mapping[str, Any]) -> None:
    """Keep the code stamp of a burst (`raybayes.training.digest.code_stamp`)."""
    text = yaml.safe_dump(dict(stamp), sort_keys=False, allow_unicode=True, width=120)
    layout.storage.write_bytes(layout.code_stamp(burst), text.encode("utf-8", "backslashreplace"))


def read_stamps(layout: Layout) -> dict[int, dict[str, Any]]:
    """The code stamps of all bursts by number; bursts of before stamps were kept have none.

    Raises:
        StoreError: a stamp cannot be read.
    """
    found: dict[int, dict[str, Any]] = {}
    if not layout.storage.exists("bursts"):
        return found
    for name in layout.storage.list("bursts"):
        number = name.removesuffix(".yaml")
        if not name.endswith(".yaml") or not number.isdigit():
            continue
        path = layout.code_stamp(int(number))
        try:
            found[int(number)] = dict(yaml.safe_load(layout.storage.read_bytes(path)))
        except (yaml.YAMLError, TypeError, ValueError) as error:
            raise StoreError(
                f"{layout.storage.display_path(path)}: not a code stamp ({error}); delete the file to do without it."
            ) from None
    return dict(sorted(found.items()))
