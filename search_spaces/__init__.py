"""One file of declared search spaces a project, found by its name. Imports raybayes.space only."""
