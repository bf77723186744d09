"""What a whole sweep has found, and its results anew for other ways of looking at scenes."""

from trainables.oneshot.analysis.findings import findings
from trainables.oneshot.analysis.rescoring import RescoreSettings, rescored

__all__ = ["RescoreSettings", "findings", "rescored"]
