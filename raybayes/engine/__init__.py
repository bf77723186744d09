"""Runs training functions: here, in Ray Train workers, in Ray Tune trials. The only place that imports ray."""
