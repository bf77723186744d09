"""Training: batches of patches, hard patches, the loss of a batch, and the training function."""
