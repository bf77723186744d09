"""Captions as words."""

from __future__ import annotations

import re

_WORD = re.compile(r"\w+|[^\w\s]")


def tokenised(caption: str) -> list[str]:
    """Lower-case words and single marks."""
    return _WORD.findall(caption.lower())
