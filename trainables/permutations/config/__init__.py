"""Every hyperparameter of permutations, with its range, unit and source, and the rules between them."""
