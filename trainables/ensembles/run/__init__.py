"""One training run: its plan, its learning rates, its steps, and its replay from the cache."""
