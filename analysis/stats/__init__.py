"""Intervals, tests and agreement over rows and seeds."""
