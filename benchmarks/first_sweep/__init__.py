"""The first sweep of a script of one's own: what has to be written, and how long it takes."""
