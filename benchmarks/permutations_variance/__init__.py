"""How much the gradient estimators of the permutation project vary."""
