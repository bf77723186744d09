"""Several networks of one ensemble or several trials trained at once on one device, equal to sequential training to
rounding.

A small network leaves a processor or a GPU waiting for the next call; with the weights of several stacked, one call
does the work of all. Whether that pays depends on network, batch and device: `choice` times it.
"""

from trainables.ensembles.fused.choice import settle
from trainables.ensembles.fused.group import Group, Turn

__all__ = ["Group", "Turn", "settle"]
