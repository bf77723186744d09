"""The only place that imports Optuna: the study, suggestions, schedulers' decisions, outcomes."""
