"""Every hyperparameter of autoregressive, with its range, unit and source, and the rules between them."""
