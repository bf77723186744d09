"""Every hyperparameter of ensembles, with its range, unit and source, and the rules between them."""
