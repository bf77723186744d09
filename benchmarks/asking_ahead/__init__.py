"""What it costs in quality to look for configurations before their slots are free."""
