"""The study, samplers, schedulers and outcomes of a sweep. The only package that imports Optuna."""
