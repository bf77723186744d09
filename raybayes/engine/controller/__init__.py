"""Decides what runs next and what a report means. Imports neither Ray nor torch."""
