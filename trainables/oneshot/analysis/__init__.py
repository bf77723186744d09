"""The findings of a whole sweep, and its results with other settings of inference."""

from trainables.oneshot.analysis.findings import findings
from trainables.oneshot.analysis.rescoring import RescoreSettings, rescored

__all__ = ["RescoreSettings", "findings", "rescored"]
