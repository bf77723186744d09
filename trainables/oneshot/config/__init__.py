"""Every hyperparameter of oneshot, with its range, unit and source, and the rules between them."""
