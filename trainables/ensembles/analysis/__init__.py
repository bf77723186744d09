"""What a whole sweep of ensembles has found: methods side by side, and results anew from stored predictions."""

from trainables.ensembles.analysis.findings import findings
from trainables.ensembles.analysis.rescoring import RescoreSettings, rescored

__all__ = ["RescoreSettings", "findings", "rescored"]
