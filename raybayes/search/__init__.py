"""The study, samplers, schedulers and outcomes of a sweep. The only package that imports Optuna."""

from raybayes.versions import require_version

require_version("optuna")  # before anything imports what another release may lack
