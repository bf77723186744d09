"""Training states on disk: written by rank, published as one checkpoint, kept or deleted by rule."""
