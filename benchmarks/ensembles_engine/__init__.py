"""Members of a deep ensemble side by side or one after the other; scores of all sizes in one pass or anew for each."""
