"""How long a cluster takes to come, to answer and to go, on three hosts made of namespaces."""
