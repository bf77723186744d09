"""Everything that follows from stored predictions, without training; pure functions from tables to tables."""
