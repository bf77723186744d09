"""Anything that trains: a callable, a reference to one, a command, a framework's trainer. Each ends as a `Project`."""
