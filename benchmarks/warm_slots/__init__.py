"""What a trial costs where processes and groups of them stay for the next one, at 100, 1,000 and 3,000 trials."""
