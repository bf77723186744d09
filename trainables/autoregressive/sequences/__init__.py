"""Token sequences in rectangles: references, limits, n-grams, chunks."""
