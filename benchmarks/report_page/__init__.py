"""How long a report of a large sweep takes, and how large it is, beside Optuna's own figures of the same study."""
