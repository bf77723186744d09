"""What the permutation project reaches on its tasks, beside other methods with as many evaluations."""
