"""Watching trials while they run: where they stand, what is told of it, an orderly stop."""
