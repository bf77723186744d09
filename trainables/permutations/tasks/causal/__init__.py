"""Causal structure learning through orders: data, costs of orders, fitted graphs, and distances between graphs."""
