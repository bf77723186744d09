"""The networks of the study, built without touching the global random generators."""

from trainables.ensembles.architectures.build import build

__all__ = ["build"]
