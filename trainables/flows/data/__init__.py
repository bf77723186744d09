"""The examples of a run, from a data set, a file of the user or a formula, and the batches drawn from them."""
