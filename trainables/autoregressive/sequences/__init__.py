"""Token sequences as rectangular tensors: references, limits, n-grams, chunks, tried tokens."""
