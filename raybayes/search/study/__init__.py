"""The Optuna study of a sweep: its journal, its trials as records and as a table, trials of earlier sweeps in it."""
