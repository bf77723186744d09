"""What a whole sweep of flows has found."""
