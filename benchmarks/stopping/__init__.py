"""What `--stop-when plateau:N` saves, and what it loses."""
