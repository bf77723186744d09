"""Early stopping and population-based training as pure functions of what has been reported."""
