"""Runs training functions: in this process, in Ray Train workers, in Ray Tune trials. See README.md for a tour."""
