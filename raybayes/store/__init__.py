"""The only place that writes results: one folder a sweep, on a disk or in an object store."""
