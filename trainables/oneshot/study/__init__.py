"""What a whole sweep has found, and its results anew for other ways of looking at scenes."""

from trainables.oneshot.study.findings import findings
from trainables.oneshot.study.rescoring import RescoreSettings, rescored

__all__ = ["RescoreSettings", "findings", "rescored"]
