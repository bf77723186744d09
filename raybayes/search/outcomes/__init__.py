"""How trials end and compare: outcomes, dominance, the ranking, confirmation over fresh seeds, importances."""
