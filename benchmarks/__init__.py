"""Side-by-side measurements, one package each. `python -m benchmarks` runs them all and keeps the results."""
