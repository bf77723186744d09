"""Tables of a sweep for people: its trials, what a project found, the time of its slots."""
