"""The lab's research projects: one package each, found by its name."""
