"""Findings of a whole sweep or run: tables with standard errors, and figures."""
