"""The findings of a whole sweep: the methods compared, and results recomputed from stored predictions."""

from trainables.ensembles.analysis.findings import findings
from trainables.ensembles.analysis.rescoring import RescoreSettings, rescored

__all__ = ["RescoreSettings", "findings", "rescored"]
