"""Running a model: roll-in, choice of cells and tokens, roll-outs, decoding."""
