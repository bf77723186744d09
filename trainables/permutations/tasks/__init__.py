"""What can be minimised, one module a task."""
