"""The training of an ensemble: the training function, its progress, the ensemble so far, and the stored tables."""
