"""How a full data set is fetched from its public source, and what is built from the downloads."""
