"""Places slots and the controller on a Ray cluster."""
