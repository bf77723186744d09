"""Every hyperparameter of flows, with its range, unit and source, and the rules between them."""
