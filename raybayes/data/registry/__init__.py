"""Which data sets there are: TOML files that are checked when they are loaded, one entry a data set."""
