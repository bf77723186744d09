"""What a trial costs beyond its training: raybayes beside Ray Tune, plain Optuna and a bare Ray Train run."""
