"""Costs of finished sequences, reference policies, and what tokens cost under them."""
