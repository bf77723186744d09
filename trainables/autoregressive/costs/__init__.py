"""What finished sequences cost, how the ground truth completes a prefix, and the cost of every tried token."""
