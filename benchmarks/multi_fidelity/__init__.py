"""Early stopping on recorded curves of a real network: what ASHA saves, and what wrongly told ends cost."""
