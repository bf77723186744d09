"""One file a method: how a training run goes, and when it yields a member."""

from trainables.ensembles.methods.run import Predictions, Run
from trainables.ensembles.methods.table import METHODS

__all__ = ["METHODS", "Predictions", "Run"]
