"""What the driver of a sweep computes for a trial, and how well it keeps many workers busy, on simulated workers."""
