"""What can be minimised, one module per task."""
