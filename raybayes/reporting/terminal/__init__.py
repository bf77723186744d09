"""A running sweep on a terminal: a view that is drawn again and again, or one log line per event."""
