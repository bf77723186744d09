"""Why a trial failed, as far as it matters to the search: did the configuration cause it?"""

from __future__ import annotations

import enum
import re


class Cause(enum.StrEnum):
    """The cause of a failure."""

    MEMORY = "memory"
    NOT_FINITE = "not finite"
    REFUSED = "refused"
    EXCEPTION = "exception"
    MACHINE = "machine"

    @property
    def certain(self) -> bool:
        """Whether the configuration is to blame: it would fail again."""
        return self in (Cause.MEMORY, Cause.NOT_FINITE, Cause.REFUSED)

    @property
    def teaches(self) -> bool:
        """Whether the sampler is shown the failure: one of the machine says nothing about the configuration."""
        return self is not Cause.MACHINE


_MEMORY = re.compile(r"MemoryError|out of memory|OutOfMemory|can't allocate memory|low on memory|ALLOC_FAILED", re.I)
_MACHINE = re.compile(
    r"its worker was lost|no worker could be started|^(\S*\.)?StoreError\b|No space left on device|\[Errno 28\]"
    r"|Disk quota exceeded|exit code (-9|-15|137|143)\b"
)
_NOT_FINITE = re.compile(r"was reported as (nan|-?inf)|the objective was not finite")
_REFUSED = re.compile(r"^(\S*\.)?(SpecError|SpaceError|ValidationError)\b")


def find_cause(error: str) -> Cause:
    """The cause of a failure, from its error: the first line is the exception's own, as `describe_error` writes it."""
    headline = error.partition("\n")[0]
    if "ended with exit code" in headline and _MEMORY.search(error):  # the last lines of a command follow
        return Cause.MEMORY
    for cause, words in (
        (Cause.MEMORY, _MEMORY),
        (Cause.MACHINE, _MACHINE),
        (Cause.NOT_FINITE, _NOT_FINITE),
        (Cause.REFUSED, _REFUSED),
    ):
        if words.search(headline):
            return cause
    return Cause.EXCEPTION
